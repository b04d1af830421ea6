"""Articles come from fixed hosts, by their titles; nothing else is ever connected to."""

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from aiohttp.abc import AbstractResolver

from xwe.errors import SourceNotFoundError, SourceUnavailableError
from xwe.services.characters import sources
from xwe.services.characters.fetching import Fetcher, is_public
from xwe.services.characters.sources import MAX_SOURCE_CHARS, Encyclopaedias

LOOPBACK = "127.0.0.1"
SOON_S = 60.0


class Names(AbstractResolver):
    """Names that lead where the test says."""

    def __init__(self, addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        if host not in self.addresses:
            raise OSError(f"no such name: {host}")
        found = {"hostname": host, "host": self.addresses[host], "port": port, "proto": 0}
        return [{**found, "family": socket.AF_INET, "flags": socket.AI_NUMERICHOST}]

    async def close(self):
        pass


class Site(ThreadingHTTPServer):
    """A web site on loopback; `pages` maps a path to (status, headers, body)."""

    def __init__(self):
        super().__init__((LOOPBACK, 0), _Handler)
        self.pages = {}
        self.asked = []
        self.answers = threading.Event()
        self.answers.set()

    @property
    def port(self):
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.answers.wait(SOON_S)
        status, headers, body = self.server.pages.get(urlsplit(self.path).path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.answers.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def fetcher():
    """A fetcher for which the two hosts are on loopback, and that does not mind loopback."""
    names = {"zh.wikipedia.test": LOOPBACK, "baike.test": LOOPBACK}
    return Fetcher(
        lambda: Names(names), is_allowed=lambda address: address == LOOPBACK, timeout_s=30
    )


@pytest.fixture
def books(site, fetcher):
    return Encyclopaedias(
        fetcher,
        wikipedia=f"http://zh.wikipedia.test:{site.port}",
        baike=f"http://baike.test:{site.port}",
    )


def wikipedia_says(site, **page):
    body = json.dumps({"query": {"pages": [page]}}).encode()
    site.pages["/w/api.php"] = (200, {"Content-Type": "application/json"}, body)


async def test_a_wikipedia_article_is_its_text_and_where_it_is_from(site, books):
    wikipedia_says(site, title="孙悟空", extract="孙悟空，又称齐天大圣。\n他从石头里出生。")
    article = await books.article("zhwiki", "孫悟空")
    assert article.text == "孙悟空，又称齐天大圣。\n他从石头里出生。"
    assert article.source["kind"] == "zhwiki"
    assert article.source["url"].endswith("/wiki/%E5%AD%99%E6%82%9F%E7%A9%BA")
    assert article.source["title"] == "孫悟空"
    assert article.source["fetched_at"]
    assert parse_qs(urlsplit(site.asked[0]).query)["titles"] == ["孫悟空"]


async def test_a_baike_article_is_the_text_of_its_page(site, books):
    html = (
        "<html><head><style>p {}</style><script>alert(1)</script></head>"
        "<body><nav>菜单菜单菜单菜单菜单菜单菜单</nav>"
        "<p>孙悟空是《西游记》里的<b>主角</b>之一，从石头里出生。<sup>[1]</sup></p>"
        "<div>短</div><p>他会七十二般变化，一个筋斗十万八千里。</p></body></html>"
    )
    site.pages["/item/%E5%AD%99%E6%82%9F%E7%A9%BA"] = (200, {}, html.encode())
    article = await books.article("baike", "孙悟空")
    assert article.text.splitlines() == [
        "孙悟空是《西游记》里的主角之一，从石头里出生。",
        "他会七十二般变化，一个筋斗十万八千里。",
    ]


async def test_a_title_is_never_an_address(site, books):
    for title in ("../../etc/passwd", "http://169.254.169.254/", "a?b#c", "x|y"):
        with pytest.raises(SourceNotFoundError):
            await books.article("baike", title)
    assert all(path.startswith("/item/") and "/" not in path[6:] for path in site.asked)


@pytest.mark.parametrize("kind", ["zhwiki", "baike"])
async def test_a_title_that_is_not_there_is_told_with_a_way_out(site, books, kind):
    wikipedia_says(site, title="无人", missing=True)
    with pytest.raises(SourceNotFoundError, match="paste the text"):
        await books.article(kind, "无人")


@pytest.mark.parametrize("title", ["Terror", "error.html", "Error 404"])
async def test_a_title_may_have_an_error_in_it(site, books, title):
    site.pages[f"/item/{quote(title)}"] = (200, {}, "<p>这一篇文章说的是别的事情。</p>".encode())
    assert "别的事情" in (await books.article("baike", title)).text


async def test_the_page_for_unknown_titles_is_no_article(site, books):
    address = {"Location": "/error.html?status=404&uri=/item/x"}
    site.pages["/item/x"] = (302, address, b"")
    site.pages["/error.html"] = (200, {}, "<p>您所访问的页面不存在，请稍后再试。</p>".encode())
    with pytest.raises(SourceNotFoundError):
        await books.article("baike", "x")
    assert site.asked == ["/item/x", address["Location"]]


async def test_the_loop_goes_on_while_a_page_is_read(site, books, monkeypatch):
    loop, begun, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    read = sources._Paragraphs.feed

    def held_up(self, html):
        loop.call_soon_threadsafe(begun.set)
        assert may_go_on.wait(SOON_S)
        read(self, html)

    monkeypatch.setattr(sources._Paragraphs, "feed", held_up)
    site.pages["/item/x"] = (200, {}, "<p>这一篇文章说的是别的事情。</p>".encode())
    reading = asyncio.create_task(books.article("baike", "x"))
    await begun.wait()
    may_go_on.set()
    assert "别的事情" in (await reading).text


def test_the_pieces_of_a_line_are_put_together_once():
    class Piece(str):
        __slots__ = ()

        def __radd__(self, before):
            raise AssertionError("each piece copies all that came before it")

    reader = sources._Paragraphs()
    for _ in range(20):
        reader.handle_data(Piece("一个词"))
    assert reader.text == "一个词" * 20


async def test_a_redirect_within_the_host_is_followed(site, books):
    site.pages["/item/%E5%A4%A7%E5%9C%A3"] = (302, {"Location": "/item/monkey/5576"}, b"")
    page = "<p>孙悟空是《西游记》里的主角之一。</p>".encode()
    site.pages["/item/monkey/5576"] = (200, {}, page)
    assert "主角" in (await books.article("baike", "大圣")).text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:{port}/secret",
        "http://127.0.0.1:{port}/secret",
        "//zh.wikipedia.test:{port}/secret",
        "http://baike.test:1/secret",
        "file:///etc/passwd",
        "http://[broken",
    ],
)
async def test_a_redirect_elsewhere_is_not_followed(site, books, elsewhere):
    target = elsewhere.format(port=site.port)
    site.pages["/item/x"] = (302, {"Location": target}, b"")
    site.pages["/secret"] = (200, {}, "<p>这里是不该被读到的内容，一个字也不行。</p>".encode())
    with pytest.raises(SourceUnavailableError, match="Paste the text"):
        await books.article("baike", "x")
    assert site.asked == ["/item/x"]


async def test_redirects_without_an_end_are_given_up(site, books):
    site.pages["/item/x"] = (302, {"Location": "/item/x"}, b"")
    with pytest.raises(SourceUnavailableError, match="on and on"):
        await books.article("baike", "x")
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.8", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.1", "255.255.255.255", "224.0.0.1", "::1", "fe80::1", "fd00::1", "::"),
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "ff02::1"),
    ],
)
async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(address, site):
    assert not is_public(address)
    books = Encyclopaedias(
        Fetcher(lambda: Names({"baike.test": address})), baike=f"http://baike.test:{site.port}"
    )
    with pytest.raises(SourceUnavailableError, match="private address"):
        await books.article("baike", "x")
    assert site.asked == []


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_public_addresses_are_public(address):
    assert is_public(address)


async def test_a_page_that_is_too_long_is_cut_off(site):
    books = Encyclopaedias(
        Fetcher(
            lambda: Names({"baike.test": LOOPBACK}), is_allowed=lambda _: True, max_bytes=10_000
        ),
        baike=f"http://baike.test:{site.port}",
    )
    site.pages["/item/x"] = (200, {}, b"x" * 1_000_000)
    with pytest.raises(SourceUnavailableError, match="too long"):
        await books.article("baike", "x")


async def test_a_site_that_does_not_answer_is_given_up(site):
    site.answers.clear()
    books = Encyclopaedias(
        Fetcher(lambda: Names({"baike.test": LOOPBACK}), is_allowed=lambda _: True, timeout_s=0.1),
        baike=f"http://baike.test:{site.port}",
    )
    with pytest.raises(SourceUnavailableError, match="did not answer within"):
        await books.article("baike", "x")


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_refusal_is_told(site, books, status):
    site.pages["/item/x"] = (status, {}, b"")
    with pytest.raises(SourceUnavailableError, match=f"status {status}"):
        await books.article("baike", "x")


async def test_a_host_that_cannot_be_resolved_is_told(fetcher):
    books = Encyclopaedias(fetcher, baike="http://nowhere.test")
    with pytest.raises(SourceUnavailableError, match="cannot be reached"):
        await books.article("baike", "x")


async def test_an_answer_that_is_no_json_is_told(site, books):
    site.pages["/w/api.php"] = (200, {}, b"<html>login to this network</html>")
    with pytest.raises(SourceUnavailableError, match="not understood"):
        await books.article("zhwiki", "x")


async def test_a_long_article_is_cut_to_what_a_character_may_hold(site, books):
    wikipedia_says(site, title="x", extract="长" * (MAX_SOURCE_CHARS + 5))
    assert len((await books.article("zhwiki", "x")).text) == MAX_SOURCE_CHARS


def test_a_character_is_made_from_an_article(open_workshop, site, books):
    wikipedia_says(site, title="孙悟空", extract="孙悟空从石头里出生，会七十二般变化。")
    workshop = open_workshop(encyclopaedias=books)
    task = workshop.ended(workshop.make(text="", source="zhwiki"))
    assert task["status"] == "done"
    made = workshop.sheet()
    assert made.source_text == "孙悟空从石头里出生，会七十二般变化。"
    assert made.source["url"].endswith("/wiki/%E5%AD%99%E6%82%9F%E7%A9%BA")
    assert len(site.asked) == 1


def test_an_article_that_cannot_be_had_fails_the_task_at_once(open_workshop, site, books, model):
    site.pages["/w/api.php"] = (403, {}, b"")
    workshop = open_workshop(encyclopaedias=books)
    task = workshop.ended(workshop.make(text="", source="zhwiki"))
    assert (task["status"], task["attempts"]) == ("error", 1)
    assert "Paste the text instead" in task["error"]
    assert task["detail"]["来源"]["error"] == "source_unavailable"
    assert model.requests == []

    wikipedia_says(site, title="孙悟空", extract="孙悟空从石头里出生。")
    again = workshop.ended(workshop.characters.complete(workshop.ada, "孙悟空"))
    assert again["status"] == "done"
