"""What the repositories return: plain frozen values, with the columns' names.

All times are aware and in UTC. Ids are integers, except for a generation's, which
stands in URLs and must not be guessable.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

ConversationKind = Literal["single", "group"]
SenderType = Literal["user", "character", "moderator", "tool", "system"]
MessageStatus = Literal["pending", "streaming", "complete", "partial", "failed", "cancelled"]
GenerationStatus = Literal["running", "complete", "partial", "failed", "cancelled"]
MemoryTier = Literal["short", "long"]
JobState = Literal["queued", "running", "done", "dead", "cancelled"]


@dataclass(frozen=True, slots=True)
class User:
    """A user. Sessions of an older `session_version` are over."""

    id: int
    username: str
    password_hash: str = field(repr=False)
    is_admin: bool
    session_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a user is signed in."""

    id: int
    user_id: int
    user_agent: str
    created_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows to act for a user. Its secret is not stored."""

    id: int
    user_id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The user of a session or token; `id` is the session's or token's, `seen_at` its last use."""

    id: int
    user_id: int
    username: str
    is_admin: bool
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Character:
    """A character of a user. `source` is where it came from; `profile` maps category to value."""

    id: int
    user_id: int
    name: str
    language: str
    profile: dict[str, Any]
    source: dict[str, Any] | None
    source_text: str
    first_message: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class CharacterSummary:
    """A row in the list of characters; the preview is the last message of its chat."""

    id: int
    name: str
    updated_at: datetime
    preview: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat with one character (`character_id`), or a group. `next_seq` is its next message's."""

    id: int
    user_id: int
    kind: ConversationKind
    character_id: int | None
    title: str
    next_seq: int
    summarised_seq: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said.

    `seq` counts in the order of writing. `place` is where it is shown: a variant has the place of
    the message that it is a variant of, and of those that share a place one is `selected`.
    """

    id: int
    conversation_id: int
    seq: int
    place: int
    sender_type: SenderType
    sender_id: int | None
    generation_id: str | None
    variant_of: int | None
    selected: bool
    content: str
    status: MessageStatus
    error_code: str | None
    client_id: str | None
    usage: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a prompt needs of a message."""

    sender_type: SenderType
    sender_id: int | None
    content: str


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in ascending order, and whether there are older ones."""

    messages: list[Message]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer, running or ended. `owner` is the process that makes it."""

    id: str
    conversation_id: int
    status: GenerationStatus
    owner: str
    lease_until: datetime
    cancel_requested: bool
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered fact. A superseded one is kept, but no longer put into prompts."""

    id: int
    character_id: int
    conversation_id: int | None
    tier: MemoryTier
    content: str
    importance: int
    pinned: bool
    superseded_by: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A fact to remember, with the messages that it was taken from."""

    content: str
    tier: MemoryTier = "short"
    importance: int = 0
    pinned: bool = False
    sources: tuple[int, ...] = ()
    supersedes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A background job. `progress` is in percent; `error` says why it failed last."""

    id: int
    user_id: int | None
    kind: str
    payload: dict[str, Any]
    dedupe_key: str | None
    state: JobState
    attempts: int
    run_after: datetime
    owner: str | None
    lease_until: datetime | None
    cancel_requested: bool
    progress: int
    message: str
    detail: dict[str, Any]
    result: Any
    error: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
