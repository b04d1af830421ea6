"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make them, each after those that it points to."""
    _make_user()
    _make_character()
    _make_idempotency()
    _make_job()
    _make_conversation()
    _make_generation()
    _make_memory()
    _make_participant()
    _make_message()
    _make_memory_source()


def downgrade() -> None:
    """Drop them, the other way round."""
    for table in (
        "memory_source",
        "message",
        "participant",
        "memory",
        "generation",
        "conversation",
        "job",
        "idempotency",
        "character",
        "user",
    ):
        op.drop_table(table)


def _make_user() -> None:
    op.create_table(
        "user",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("session_version", sa.Integer(), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("username", name=op.f("uq_user_username")),
        sqlite_autoincrement=True,
    )


def _make_character() -> None:
    op.create_table(
        "character",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("profile", _JSON, nullable=False),
        sa.Column("source", _JSON, nullable=True),
        sa.Column("source_text", sa.Text(), nullable=False),
        sa.Column("first_message", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_character_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_character")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_character_user_id"), "character", ["user_id"], unique=False)
    op.create_index(
        "uq_character_living_name",
        "character",
        ["user_id", "name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _make_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_hash", sa.String(length=128), nullable=False),
        sa.Column("response", _JSON, nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_idempotency_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)


def _make_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=True),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("dedupe_key", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        sa.Column("result", _JSON, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_job_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_job_due",
        "job",
        ["run_after"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index("ix_job_newest", "job", ["user_id", "id"], unique=False)
    op.create_index(
        "uq_job_unfinished",
        "job",
        ["dedupe_key"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )


def _make_conversation() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("character_id", _BIG_ID, nullable=True),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("next_seq", sa.Integer(), nullable=False),
        sa.Column("summarised_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'single') = (character_id IS NOT NULL)", name=op.f("ck_conversation_kind")
        ),
        sa.ForeignKeyConstraint(
            ["character_id"],
            ["character.id"],
            name=op.f("fk_conversation_character_id_character"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_conversation_user_id_user"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
        sa.UniqueConstraint("character_id", name=op.f("uq_conversation_character_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_conversation_newest",
        "conversation",
        ["user_id", sa.literal_column("updated_at DESC")],
        unique=False,
    )


def _make_generation() -> None:
    op.create_table(
        "generation",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", _BIG_ID, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_generation_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generation")),
    )
    op.create_index("ix_generation_conversation", "generation", ["conversation_id"], unique=False)
    op.create_index(
        "ix_generation_lease",
        "generation",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "uq_generation_running",
        "generation",
        ["conversation_id"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )


def _make_memory() -> None:
    op.create_table(
        "memory",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("character_id", _BIG_ID, nullable=False),
        sa.Column("conversation_id", _BIG_ID, nullable=True),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("importance", sa.Integer(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("superseded_by", _BIG_ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["character_id"],
            ["character.id"],
            name=op.f("fk_memory_character_id_character"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_memory_conversation_id_conversation"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"],
            ["memory.id"],
            name=op.f("fk_memory_superseded_by_memory"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_memory_character", "memory", ["character_id", "id"], unique=False)
    op.create_index(op.f("ix_memory_conversation_id"), "memory", ["conversation_id"], unique=False)
    op.create_index(
        "ix_memory_superseded",
        "memory",
        ["superseded_by"],
        unique=False,
        sqlite_where=sa.text("superseded_by IS NOT NULL"),
        postgresql_where=sa.text("superseded_by IS NOT NULL"),
    )


def _make_participant() -> None:
    op.create_table(
        "participant",
        sa.Column("conversation_id", _BIG_ID, nullable=False),
        sa.Column("character_id", _BIG_ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["character_id"],
            ["character.id"],
            name=op.f("fk_participant_character_id_character"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_participant_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "character_id", name=op.f("pk_participant")),
    )
    op.create_index(
        op.f("ix_participant_character_id"), "participant", ["character_id"], unique=False
    )


def _make_message() -> None:
    op.create_table(
        "message",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("conversation_id", _BIG_ID, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("sender_type", sa.String(length=16), nullable=False),
        sa.Column("sender_id", _BIG_ID, nullable=True),
        sa.Column("generation_id", sa.String(length=64), nullable=True),
        sa.Column("variant_of", _BIG_ID, nullable=True),
        sa.Column("selected", sa.Boolean(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("client_id", sa.String(length=128), nullable=True),
        sa.Column("usage", _JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_message_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generation.id"],
            name=op.f("fk_message_generation_id_generation"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["variant_of"],
            ["message.id"],
            name=op.f("fk_message_variant_of_message"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint(
            "conversation_id", "client_id", name=op.f("uq_message_conversation_id_client_id")
        ),
        sa.UniqueConstraint("conversation_id", "seq", name=op.f("uq_message_conversation_id_seq")),
        sqlite_autoincrement=True,
    )
    _index_message()


def _index_message() -> None:
    op.create_index(op.f("ix_message_generation_id"), "message", ["generation_id"], unique=False)
    op.create_index(
        "ix_message_variant",
        "message",
        ["variant_of"],
        unique=False,
        sqlite_where=sa.text("variant_of IS NOT NULL"),
        postgresql_where=sa.text("variant_of IS NOT NULL"),
    )
    op.create_index(
        "uq_message_shown",
        "message",
        ["conversation_id", "place"],
        unique=True,
        sqlite_where=sa.text("selected = 1"),
        postgresql_where=sa.text("selected"),
    )


def _make_memory_source() -> None:
    op.create_table(
        "memory_source",
        sa.Column("memory_id", _BIG_ID, nullable=False),
        sa.Column("message_id", _BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"],
            ["memory.id"],
            name=op.f("fk_memory_source_memory_id_memory"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
            name=op.f("fk_memory_source_message_id_message"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("memory_id", "message_id", name=op.f("pk_memory_source")),
    )
    op.create_index(
        op.f("ix_memory_source_message_id"), "memory_source", ["message_id"], unique=False
    )
