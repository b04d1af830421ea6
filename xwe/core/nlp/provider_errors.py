"""A provider's statuses and error objects as our errors; pure functions.

A message quotes at most 200 bytes of the provider's words: printable text, without anything that
looks like a key and without the texts that the caller asks to hide.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

from xwe.core.nlp.completion import CompletionRequest
from xwe.errors import (
    ProviderAuthError,
    ProviderBadReplyError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderStatusError,
)

QUOTED_BYTES = 200

# The shortest hidden text that is searched for ("the" would be everywhere), and the shortest part
# of one that counts as a quotation of it.
_WHOLE_CHARS = 4
_PIECE_CHARS = 24

# Nothing beyond this can be quoted, and searching it for secrets would take time.
_SEARCHED_CHARS = 2000

_KEY_LIKE = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|pk|rk|gsk|xai|key|org|proj)-[\w*.-]{6,}")
_ERROR_STATUS = re.compile(r"[45]\d\d", re.ASCII)
_HTML_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_HTML_TAG = re.compile(r"<[^>]*>")

_RETRYABLE = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
_QUOTA = frozenset({"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached"})
_STATUS_OF_KIND = {
    **dict.fromkeys(_QUOTA, 429),
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
}


def error_from_status(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    hidden: Iterable[str] = (),
) -> ProviderError:
    """The error that a reply with this status means.

    Args:
        status: any status but 200.
        headers: of the reply; names are looked up as the mapping does and in title case.
        body: of the reply, or its beginning.
        hidden: texts that must not be shown if the provider echoes them (the key, the prompts).
    """
    error = _error_object(body)
    said = quoted(_words_of(error) or _plain_words(body), hidden)
    return _error(status, _kinds_of(error), said, retry_after_s(headers))


def error_from_object(error: object, *, hidden: Iterable[str] = ()) -> ProviderError:
    """The error that an `error` object in a reply with status 200 means."""
    kinds = _kinds_of(error)
    known = (_STATUS_OF_KIND[kind] for kind in kinds if kind in _STATUS_OF_KIND)
    numbers = (int(kind) for kind in kinds if _ERROR_STATUS.fullmatch(kind))
    status = next(numbers, None) or next(known, 500)
    return _error(status, kinds, quoted(_words_of(error), hidden), None)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The wait that the headers ask for, in seconds; None if there is none, or an unusable one.

    Args:
        headers: `retry-after-ms`, or `retry-after` in seconds or as a date.
        now: the current time, in seconds since the epoch; the clock's if None.
    """
    milliseconds = _seconds(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after")
    if not value:
        return None
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (ValueError, OverflowError):
        return None


def quoted(text: str, hidden: Iterable[str] = ()) -> str:
    """A provider's words, safe to show to people and to log."""
    text = text[:_SEARCHED_CHARS]
    for secret in hidden:
        if len(secret) < _WHOLE_CHARS:
            continue
        text = text.replace(secret, "…")
        if _repeats(text, secret):
            return ""
    text = _KEY_LIKE.sub("…", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(raw := text.encode("utf-8", "replace")) > QUOTED_BYTES:
        return raw[: QUOTED_BYTES - len("…".encode())].decode("utf-8", "ignore") + "…"
    return text


def hidden_texts(request: CompletionRequest, api_key: str) -> Iterator[str]:
    """The texts that an error about this request must not show: the key and the messages."""
    yield api_key
    for message in request.messages:
        content = message.get("content") if isinstance(message, dict) else message
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and isinstance(text := part.get("text"), str):
                    yield text


def title_of(body: bytes) -> str:
    """The title of an HTML page, safe to show; "" if it has none."""
    found = _HTML_TITLE.search(body[:4096].decode("utf-8", "replace"))
    return quoted(found[1]) if found else ""


def _error(  # noqa: PLR0911 - a table with one return for each meaning
    status: int, kinds: tuple[str, ...], said: str, retry_after: float | None
) -> ProviderError:
    tail = f": {said}" if said else "."
    if status == HTTPStatus.PAYMENT_REQUIRED or not _QUOTA.isdisjoint(kinds):
        return ProviderRateLimitedError(
            f"The account at the provider is used up ({status}); top it up{tail}",
            quota_exhausted=True,
        )
    if status == HTTPStatus.UNAUTHORIZED:
        # Providers repeat parts of the key here, so nothing is quoted.
        return ProviderAuthError(
            "The provider refused the key (401); check LLM_API_KEY and LLM_BASE_URL.", status=401
        )
    if status == HTTPStatus.FORBIDDEN:
        return ProviderAuthError(
            f"The provider does not let this key do that (403); check its rights{tail}", status=403
        )
    if status == HTTPStatus.NOT_FOUND:
        return ProviderRejectedError(
            f"The provider has no such model or address (404); check LLM_MODEL and LLM_BASE_URL"
            f"{tail}",
            status=404,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ProviderRateLimitedError(
            f"The provider asks for fewer calls (429){tail}", retry_after_s=retry_after
        )
    if status in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProviderStatusError(
            f"The provider failed ({status}){tail}", status=status, retry_after_s=retry_after
        )
    if status >= HTTPStatus.BAD_REQUEST:
        return ProviderRejectedError(
            f"The provider refused the request ({status}){tail}", status=status
        )
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return ProviderBadReplyError(
            f"The provider redirects to another address ({status}), where the key is not taken;"
            " set LLM_BASE_URL to the final address."
        )
    return ProviderBadReplyError(f"The provider answered with status {status}{tail}")


def _error_object(body: bytes) -> object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, dict):
        return value.get("error") or value
    return None


def _kinds_of(error: object) -> tuple[str, ...]:
    if not isinstance(error, dict):
        return ()
    values = (error.get("code"), error.get("type"), error.get("status"))
    return tuple(str(value).lower() for value in values if isinstance(value, str | int))


def _words_of(error: object) -> str:
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return ""
    for field in ("message", "detail", "error", "msg"):
        value: Any = error.get(field)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            # A validator's list; each entry also repeats the input, which holds the prompt.
            return "; ".join(_words_of(entry) for entry in value[:3])
    return ""


def _plain_words(body: bytes) -> str:
    start = body[:4096].lstrip()
    if start[:1] in (b"{", b"["):
        return ""  # JSON of an unknown shape: any of its fields may be a secret
    text = start.decode("utf-8", "replace")
    if start[:1] == b"<":
        found = _HTML_TITLE.search(text)
        text = found[1] if found else _HTML_TAG.sub(" ", text)
    return text


def _repeats(text: str, secret: str) -> bool:
    """Whether the text repeats a long part of the secret."""
    half = _PIECE_CHARS // 2
    # A common part of twice the step's length always contains one whole step.
    return any(text[at : at + half] in secret for at in range(0, len(text) - half + 1, half))


def _header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    return headers.get(name.title()) if value is None else value


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
