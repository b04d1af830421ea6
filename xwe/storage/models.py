"""The tables. What must hold between rows is stated here, as constraints, not in code.

They use only what both SQLite and PostgreSQL have. A row goes with its owner (ON DELETE CASCADE).
Characters and conversations are first marked as deleted, so that it can be undone, and purged
later. The migrations make the same tables; a test compares the two.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Named,
    String,
    Table,
    TypedColumns,
    UniqueConstraint,
    text,
)

from xwe.storage.column_types import AnyText, BigId, Json, UtcDateTime

metadata = MetaData(
    # So that migrations can name the constraints they change.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The mark of a row that is being deleted permanently: too old to be restored.
CONDEMNED = datetime(1970, 1, 1, tzinfo=UTC)

# Ids are never reused: an old cookie or link would refer to something else.
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}


def _owner(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")


def _where(condition: str, *, on_sqlite: str | None = None) -> dict[str, Any]:
    """A partial index's condition.

    SQLite uses the index only for a query with literally the same condition, so a query must not
    bind its values.
    """
    return {"sqlite_where": text(on_sqlite or condition), "postgresql_where": text(condition)}


class _UserColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    username: Named[str] = Column(String(64), unique=True)
    password_hash: Named[str] = Column(String(255))
    is_admin: Named[bool]
    session_version: Named[int]
    settings: Named[dict[str, Any]] = Column(Json)
    created_at: Named[datetime] = Column(UtcDateTime)


user = Table("user", metadata, _UserColumns, **NEVER_REUSED)


class _SessionColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    user_id: Named[int] = Column(BigId, _owner("user.id"), index=True)
    # Of the cookie's secret, which only the browser has.
    digest: Named[str] = Column(String(64), unique=True)
    session_version: Named[int]
    user_agent: Named[str] = Column(String(200))
    created_at: Named[datetime] = Column(UtcDateTime)
    last_seen: Named[datetime] = Column(UtcDateTime, index=True)


session = Table("session", metadata, _SessionColumns, **NEVER_REUSED)


class _TokenColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    user_id: Named[int] = Column(BigId, _owner("user.id"), index=True)
    name: Named[str] = Column(String(100))
    digest: Named[str] = Column(String(64), unique=True)
    created_at: Named[datetime] = Column(UtcDateTime)
    last_used_at: Named[datetime | None] = Column(UtcDateTime)


token = Table("token", metadata, _TokenColumns, **NEVER_REUSED)


class _CharacterColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    user_id: Named[int] = Column(BigId, _owner("user.id"), index=True)
    name: Named[str] = Column(String(200))
    language: Named[str] = Column(String(8))
    profile: Named[dict[str, Any]] = Column(Json)
    source: Named[dict[str, Any] | None] = Column(Json)
    source_text: Named[str] = Column(AnyText)
    first_message: Named[str] = Column(AnyText)
    version: Named[int]
    created_at: Named[datetime] = Column(UtcDateTime)
    updated_at: Named[datetime] = Column(UtcDateTime)
    deleted_at: Named[datetime | None] = Column(UtcDateTime)


character = Table("character", metadata, _CharacterColumns, **NEVER_REUSED)
# A deleted character's name can be used again.
Index(
    "uq_character_living_name",
    character.c.user_id,
    character.c.name,
    unique=True,
    **_where("deleted_at IS NULL"),
)


class _ConversationColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    user_id: Named[int] = Column(BigId, _owner("user.id"))
    kind: Named[str] = Column(String(16))
    # The character of a single conversation; unique, so there is only one.
    character_id: Named[int | None] = Column(BigId, _owner("character.id"), unique=True)
    title: Named[str] = Column(String(200))
    next_seq: Named[int]
    # Memory's watermark: messages up to here have been turned into facts.
    summarised_seq: Named[int]
    created_at: Named[datetime] = Column(UtcDateTime)
    updated_at: Named[datetime] = Column(UtcDateTime)
    deleted_at: Named[datetime | None] = Column(UtcDateTime)


conversation = Table(
    "conversation",
    metadata,
    _ConversationColumns,
    CheckConstraint("(kind = 'single') = (character_id IS NOT NULL)", name="kind"),
    **NEVER_REUSED,
)
Index("ix_conversation_newest", conversation.c.user_id, conversation.c.updated_at.desc())


class _ParticipantColumns(TypedColumns):
    conversation_id: Named[int] = Column(BigId, _owner("conversation.id"), primary_key=True)
    character_id: Named[int] = Column(BigId, _owner("character.id"), primary_key=True, index=True)
    position: Named[int]
    muted: Named[bool]


participant = Table("participant", metadata, _ParticipantColumns)


class _GenerationColumns(TypedColumns):
    id: Named[str] = Column(String(64), primary_key=True)
    conversation_id: Named[int] = Column(BigId, _owner("conversation.id"))
    status: Named[str] = Column(String(16))
    owner: Named[str] = Column(String(128))
    lease_until: Named[datetime] = Column(UtcDateTime)
    cancel_requested: Named[bool]
    # Until when it counts as read in a process other than the owner's; renewed while it is.
    read_until: Named[datetime | None] = Column(UtcDateTime)
    created_at: Named[datetime] = Column(UtcDateTime)
    finished_at: Named[datetime | None] = Column(UtcDateTime)


generation = Table("generation", metadata, _GenerationColumns)
# One conversation has one running generation, across processes.
Index(
    "uq_generation_running",
    generation.c.conversation_id,
    unique=True,
    **_where("status = 'running'"),
)
Index("ix_generation_lease", generation.c.lease_until, **_where("status = 'running'"))
Index("ix_generation_conversation", generation.c.conversation_id)


class _MessageColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    conversation_id: Named[int] = Column(BigId, _owner("conversation.id"))
    seq: Named[int]
    place: Named[int]
    sender_type: Named[str] = Column(String(16))
    # The id of a user or a character, which the message may outlive.
    sender_id: Named[int | None] = Column(BigId)
    generation_id: Named[str | None] = Column(
        String(64), ForeignKey("generation.id", ondelete="SET NULL"), index=True
    )
    variant_of: Named[int | None] = Column(BigId, _owner("message.id"))
    selected: Named[bool]
    content: Named[str] = Column(AnyText)
    status: Named[str] = Column(String(16))
    error_code: Named[str | None] = Column(String(64))
    client_id: Named[str | None] = Column(String(128))
    usage: Named[dict[str, Any] | None] = Column(Json)
    created_at: Named[datetime] = Column(UtcDateTime)


message = Table(
    "message",
    metadata,
    _MessageColumns,
    UniqueConstraint("conversation_id", "seq"),
    UniqueConstraint("conversation_id", "client_id"),
    **NEVER_REUSED,
)
# One of the variants at a position is selected; pages are read from this index.
Index(
    "uq_message_shown",
    message.c.conversation_id,
    message.c.place,
    unique=True,
    **_where("selected", on_sqlite="selected = 1"),
)
Index("ix_message_variant", message.c.variant_of, **_where("variant_of IS NOT NULL"))


class _MemoryColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    character_id: Named[int] = Column(BigId, _owner("character.id"))
    conversation_id: Named[int | None] = Column(
        BigId, ForeignKey("conversation.id", ondelete="SET NULL"), index=True
    )
    tier: Named[str] = Column(String(16))
    content: Named[str] = Column(AnyText)
    importance: Named[int]
    pinned: Named[bool]
    # Not CASCADE, whose depth SQLite limits: `memories.remove` follows the chain itself.
    superseded_by: Named[int | None] = Column(BigId, ForeignKey("memory.id", ondelete="SET NULL"))
    created_at: Named[datetime] = Column(UtcDateTime)


memory = Table("memory", metadata, _MemoryColumns, **NEVER_REUSED)
Index("ix_memory_character", memory.c.character_id, memory.c.id)
Index("ix_memory_superseded", memory.c.superseded_by, **_where("superseded_by IS NOT NULL"))


class _MemorySourceColumns(TypedColumns):
    memory_id: Named[int] = Column(BigId, _owner("memory.id"), primary_key=True)
    message_id: Named[int] = Column(BigId, _owner("message.id"), primary_key=True, index=True)


memory_source = Table("memory_source", metadata, _MemorySourceColumns)


class _JobColumns(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    user_id: Named[int | None] = Column(BigId, _owner("user.id"))
    kind: Named[str] = Column(String(64))
    payload: Named[dict[str, Any]] = Column(Json)
    dedupe_key: Named[str | None] = Column(String(255))
    state: Named[str] = Column(String(16))
    attempts: Named[int]
    run_after: Named[datetime] = Column(UtcDateTime)
    owner: Named[str | None] = Column(String(128))
    lease_until: Named[datetime | None] = Column(UtcDateTime)
    cancel_requested: Named[bool]
    progress: Named[int]
    message: Named[str] = Column(AnyText)
    detail: Named[dict[str, Any]] = Column(Json)
    result: Named[Any] = Column(Json, nullable=True)
    error: Named[str | None] = Column(AnyText)
    created_at: Named[datetime] = Column(UtcDateTime)
    updated_at: Named[datetime] = Column(UtcDateTime)
    finished_at: Named[datetime | None] = Column(UtcDateTime)


job = Table("job", metadata, _JobColumns, **NEVER_REUSED)
Index(
    "uq_job_unfinished",
    job.c.dedupe_key,
    unique=True,
    **_where("state IN ('queued', 'running')"),
)
Index("ix_job_due", job.c.run_after, **_where("state IN ('queued', 'running')"))
Index("ix_job_newest", job.c.user_id, job.c.id)
