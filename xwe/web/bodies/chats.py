"""What the routes of chats accept and return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xwe.services.chats.values import ShownMessage, ShownPage
from xwe.storage.records import Message, SenderType
from xwe.web.bodies import fields

MAX_CLIENT_ID_CHARS = 128
MAX_PAGE = 200
DEFAULT_PAGE = 50
# What the database's column holds. No chat has as many messages, so a larger one says the same.
_LARGEST_SEQ = 2**31 - 1

_ROLES: Mapping[SenderType, str] = {"user": "user", "character": "assistant"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a user says; `client_id` makes sending it twice one turn."""

    content: str = field(repr=False)
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which messages are asked for."""

    before_seq: int | None
    after_seq: int | None
    limit: int


def said(body: Mapping[str, Any]) -> Said:
    """Check `{content, client_id?}`."""
    return Said(fields.text(body, "content"), client_id(body.get("client_id")))


def client_id(value: Any, name: str = "client_id") -> str | None:
    """Check the name that a client has given its request, if it has."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or not value.isprintable():
        raise fields.invalid(name, "must be a printable text")
    if len(value) > MAX_CLIENT_ID_CHARS:
        raise fields.invalid(name, f"must be at most {MAX_CLIENT_ID_CHARS} characters")
    return value


def page_query(query: Mapping[str, str]) -> PageQuery:
    """Check `?before_seq=&after_seq=&limit=`."""
    return PageQuery(
        fields.query_number(query, "before_seq", 0, _LARGEST_SEQ),
        fields.query_number(query, "after_seq", 0, _LARGEST_SEQ),
        fields.query_number(query, "limit", 0, MAX_PAGE) or DEFAULT_PAGE,
    )


def described_page(page: ShownPage) -> dict[str, Any]:
    """A page as the API has it."""
    return {
        "messages": [described(shown) for shown in page.messages],
        "has_more": page.has_more,
    }


def described(shown: ShownMessage) -> dict[str, Any]:
    """A message as the API has it; `seq` is its place, which its variants share."""
    message: Message = shown.message
    return {
        "id": message.id,
        "seq": message.place,
        "role": _ROLES.get(message.sender_type, message.sender_type),
        "content": message.content,
        "status": message.status,
        "error_code": message.error_code,
        "generation_id": message.generation_id,
        "client_id": message.client_id,
        "variants": list(shown.variants),
        "created_at": message.created_at.isoformat(timespec="milliseconds"),
    }
