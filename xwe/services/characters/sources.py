"""Where a character's text comes from: the user, a bundled sample, or one of two encyclopaedias.

The hosts are fixed: a user names an article's title, never an address.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from xwe.errors import SourceNotFoundError, SourceUnavailableError

if TYPE_CHECKING:
    from xwe.services.characters.fetching import Fetcher

SourceKind = Literal["text", "sample", "zhwiki", "baike"]
FetchedKind = Literal["zhwiki", "baike"]
FETCHED_KINDS: Final[tuple[FetchedKind, ...]] = ("zhwiki", "baike")

MAX_SOURCE_CHARS: Final = 200_000

WIKIPEDIA: Final = "https://zh.wikipedia.org"
BAIKE: Final = "https://baike.baidu.com"
# Where it redirects requests for titles that it does not have.
BAIKE_UNKNOWN: Final = "/error.html"


@dataclass(frozen=True, slots=True)
class Article:
    """A text and the record of where it comes from."""

    text: str
    source: dict[str, Any]


class Encyclopaedias:
    """Fetches articles by their titles.

    Args:
        fetcher: fetches pages; None for one with the default limits.
        wikipedia: the origin of the Chinese Wikipedia.
        baike: the origin of Baidu Baike.
    """

    def __init__(
        self,
        fetcher: "Fetcher | None" = None,
        *,
        wikipedia: str = WIKIPEDIA,
        baike: str = BAIKE,
    ) -> None:
        self._fetcher = fetcher
        self._wikipedia = wikipedia
        self._baike = baike

    async def article(self, kind: FetchedKind, title: str) -> Article:
        """The article of that title.

        Raises:
            SourceNotFoundError: there is none.
            SourceUnavailableError: it cannot be fetched; the message says what to do instead.
        """
        found = await (self._zhwiki(title) if kind == "zhwiki" else self._baike_item(title))
        if found is None or not found[1].strip():
            raise SourceNotFoundError(
                f"{_HOSTS[kind]} has no article named “{title}”. Try its exact title there, or "
                "paste the text instead."
            )
        url, text = found
        record = {"kind": kind, "url": url, "title": title, "fetched_at": _now()}
        return Article(text.strip()[:MAX_SOURCE_CHARS], record)

    async def _zhwiki(self, title: str) -> tuple[str, str] | None:
        query = {
            "action": "query",
            "prop": "extracts",
            "explaintext": "1",
            "exsectionformat": "plain",
            "redirects": "1",
            "converttitles": "1",
            "variant": "zh-cn",
            "format": "json",
            "formatversion": "2",
            "titles": title.replace("|", " "),
        }
        page = await self._fetch(f"{self._wikipedia}/w/api.php?{urlencode(query)}")
        if page is None:
            return None
        try:
            article = orjson.loads(page[1])["query"]["pages"][0]
            text = article.get("extract") or ""
            name = article["title"]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise SourceUnavailableError(
                "zh.wikipedia.org answers in a way that is not understood. Paste the text instead."
            ) from None
        return f"{self._wikipedia}/wiki/{quote(name.replace(' ', '_'))}", text

    async def _baike_item(self, title: str) -> tuple[str, str] | None:
        page = await self._fetch(f"{self._baike}/item/{quote(title, safe='')}")
        if page is None or urlsplit(page[0]).path == BAIKE_UNKNOWN:
            return None
        # Parsing a long page would hold up the loop.
        return page[0], await asyncio.to_thread(_text_of, page[1])

    async def _fetch(self, url: str) -> tuple[str, bytes] | None:
        if self._fetcher is None:
            # Importing aiohttp takes 150 ms, and most characters come from a pasted text.
            from xwe.services.characters.fetching import Fetcher  # noqa: PLC0415

            self._fetcher = Fetcher()
        return await self._fetcher.fetch(url)


def _text_of(html: bytes) -> str:
    reader = _Paragraphs()
    reader.feed(html.decode("utf-8", "replace"))
    return reader.text


class _Paragraphs(HTMLParser):
    """The text of a page's paragraphs and headings."""

    _BLOCKS = frozenset({"p", "h1", "h2", "h3", "dt", "dd", "li", "div", "td", "br"})
    _SKIPPED = frozenset({"script", "style", "noscript", "nav", "footer", "sup", "button"})
    # Shorter lines are menu entries and captions.
    _SHORTEST = 12

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        # Each line is a list of pieces: a paragraph with many links comes in many.
        self._lines: list[list[str]] = [[]]
        self._skipping = 0

    @property
    def text(self) -> str:
        """The lines in order, without repetitions."""
        lines = (" ".join("".join(pieces).split()) for pieces in self._lines)
        return "\n".join(dict.fromkeys(line for line in lines if len(line) >= self._SHORTEST))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SKIPPED:
            self._skipping += 1
        elif tag in self._BLOCKS:
            self._lines.append([])
        elif tag == "meta" and ("name", "description") in attrs:
            self._lines += [[dict(attrs).get("content") or ""], []]

    def handle_endtag(self, tag: str) -> None:
        if tag in self._SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag in self._BLOCKS:
            self._lines.append([])

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._lines[-1].append(data)


def own_source(kind: SourceKind) -> dict[str, Any]:
    """The record of a text that the user gave or that ships with the application."""
    return {"kind": kind, "given_at": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_HOSTS: Final = {"zhwiki": "zh.wikipedia.org", "baike": "baike.baidu.com"}
