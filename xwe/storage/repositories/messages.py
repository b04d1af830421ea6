"""Messages in the order of writing, with variants of answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, case, insert, or_, select, update

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.models import conversation, message
from xwe.storage.records import Message, MessageStatus, Page, SenderType, Spoken
from xwe.storage.rows import columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_m = message.c
_messages = select(*columns(message, Message))
_next_seq = (
    update(conversation)
    .where(conversation.c.id == bindparam("row_id"))
    .values(next_seq=conversation.c.next_seq + 1, updated_at=bindparam("changed_at"))
    .returning(conversation.c.next_seq - 1)
)
_insert = insert(message).returning(_m.id)
_in_conversation = _m.conversation_id == bindparam("conversation_id")
_shown = _messages.where(_in_conversation, _m.selected)
_newest = _shown.order_by(_m.place.desc()).limit(bindparam("count"))
_has_words = and_(_m.content != "", _m.status.in_(["complete", "partial", "cancelled"]))
_spoken_before = (
    select(*columns(message, Spoken))
    .where(_in_conversation, _m.selected, _m.place < bindparam("before_seq"), _has_words)
    .order_by(_m.place.desc())
    .limit(bindparam("count"))
)
_newest_with_words = (
    _messages.where(_in_conversation, _m.place == bindparam("at_place"), _has_words)
    .order_by(case((_m.id == bindparam("preferred"), 0), else_=1), _m.seq.desc())
    .limit(1)
)
# Wider than the column: a request may ask for a position far beyond it.
_newest_before = _newest.where(_m.place < bindparam("before_seq", type_=BigInteger))
_after = (
    _shown.where(_m.place > bindparam("after_seq", type_=BigInteger))
    .order_by(_m.place)
    .limit(bindparam("count"))
)
_by_id = _messages.where(_in_conversation, _m.id == bindparam("id"))
_by_client_id = _messages.where(_in_conversation, _m.client_id == bindparam("client_id"))
_by_generation = _messages.where(_m.generation_id == bindparam("generation_id")).order_by(_m.seq)
_with_root = _messages.where(
    or_(_m.id == bindparam("root_id"), _m.variant_of == bindparam("root_id"))
).order_by(_m.seq)
_deselect = (
    update(message)
    .where(_m.conversation_id == bindparam("in_id"), _m.place == bindparam("at_place"), _m.selected)
    .values(selected=False)
)
_select = update(message).where(_m.id == bindparam("row_id")).values(selected=True)
# Not `in_`: a statement that runs for many rows at once cannot bind a list.
_is_unfinished = or_(_m.status == "pending", _m.status == "streaming")
_set_text = (
    update(message)
    .where(_m.id == bindparam("row_id"), _is_unfinished)
    .values(content=bindparam("new_content"), status="streaming")
)
_finish = (
    update(message)
    .where(_m.id == bindparam("row_id"), _is_unfinished)
    .values(
        content=bindparam("new_content"),
        status=bindparam("new_status"),
        error_code=bindparam("new_error_code"),
        usage=bindparam("new_usage"),
    )
)
_abandon = (
    update(message)
    .where(_m.generation_id == bindparam("of_generation"), _is_unfinished)
    .values(status="partial", error_code=bindparam("new_error_code"))
)
_forget_client_id = update(message).where(_m.id == bindparam("row_id")).values(client_id=None)
_variants_between = (
    select(_m.place, _m.variant_of, _m.id)
    .where(
        _in_conversation,
        _m.place.between(bindparam("first"), bindparam("last")),
        _m.variant_of.is_not(None),
    )
    .order_by(_m.seq)
)

FINAL_STATUSES: tuple[MessageStatus, ...] = ("complete", "partial", "failed", "cancelled")


def append(
    writing: Writing,
    conversation_id: int,
    *,
    sender_type: SenderType,
    content: str,
    sender_id: int | None = None,
    status: MessageStatus = "complete",
    client_id: str | None = None,
    generation_id: str | None = None,
    variant_of: int | None = None,
    usage: dict[str, Any] | None = None,
) -> Message:
    """Add a message at the end of the conversation.

    A variant takes the position of the message that it replaces, and is selected.

    Raises:
        NotFoundError: there is no such conversation, or no such message in it.
        ConflictError: the conversation has a message of that `client_id` (see `by_client_id`).
    """
    created_at = now()
    values = {"row_id": conversation_id, "changed_at": created_at}
    seq = writing.execute(_next_seq, values).scalar_one_or_none()
    if seq is None:
        raise NotFoundError
    # The row above is locked, so nobody else can add the same message meanwhile.
    if client_id is not None and by_client_id(writing, conversation_id, client_id) is not None:
        raise ConflictError("This message is there already.")
    place, root_id = seq, None
    if variant_of is not None:
        place, root_id = _take_place(writing, conversation_id, variant_of)
    row = {
        "conversation_id": conversation_id,
        "seq": seq,
        "place": place,
        "sender_type": sender_type,
        "sender_id": sender_id,
        "generation_id": generation_id,
        "variant_of": root_id,
        "selected": True,
        "content": content,
        "status": status,
        "error_code": None,
        "client_id": client_id,
        "usage": usage,
        "created_at": created_at,
    }
    return Message(id=writing.execute(_insert, row).scalar_one(), **row)


def _take_place(writing: Writing, conversation_id: int, variant_of: int) -> tuple[int, int]:
    """Deselect what is shown at a message's position; that position, and the first variant's id."""
    original = get(writing, conversation_id, variant_of)
    if original is None:
        raise NotFoundError
    writing.execute(_deselect, {"in_id": conversation_id, "at_place": original.place})
    return original.place, original.variant_of or original.id


def page(
    reading: Reading, conversation_id: int, *, before_seq: int | None = None, limit: int = 50
) -> Page:
    """The newest selected messages, ascending; with `before_seq`, those before a position."""
    values: dict[str, Any] = {"conversation_id": conversation_id, "count": limit + 1}
    if before_seq is None:
        found = fetch_all(reading, Message, _newest, **values)
    else:
        found = fetch_all(reading, Message, _newest_before, before_seq=before_seq, **values)
    return Page(messages=found[limit - 1 :: -1] if limit else [], has_more=len(found) > limit)


def spoken_before(
    reading: Reading, conversation_id: int, before_seq: int, *, limit: int = 100
) -> list[Spoken]:
    """What was said before a position, newest first, without failed and running answers."""
    return fetch_all(
        reading,
        Spoken,
        _spoken_before,
        conversation_id=conversation_id,
        before_seq=before_seq,
        count=limit,
    )


def after_seq(
    reading: Reading, conversation_id: int, seq: int, *, limit: int = 1000
) -> list[Message]:
    """The selected messages after the position `seq`, ascending."""
    return fetch_all(
        reading, Message, _after, conversation_id=conversation_id, after_seq=seq, count=limit
    )


def get(reading: Reading, conversation_id: int, message_id: int) -> Message | None:
    """The conversation's message with that id."""
    return fetch_one(reading, Message, _by_id, conversation_id=conversation_id, id=message_id)


def by_client_id(reading: Reading, conversation_id: int, client_id: str) -> Message | None:
    """The conversation's message with that client id."""
    return fetch_one(
        reading, Message, _by_client_id, conversation_id=conversation_id, client_id=client_id
    )


def by_generation(reading: Reading, generation_id: str) -> list[Message]:
    """A generation's messages, in order."""
    return fetch_all(reading, Message, _by_generation, generation_id=generation_id)


def set_texts(writing: Writing, texts: Mapping[int, str]) -> None:
    """Store the texts so far of running answers, by message id.

    A message that has ended meanwhile keeps its text.
    """
    if texts:
        writing.execute(
            _set_text, [{"row_id": key, "new_content": text} for key, text in texts.items()]
        )


def finish(
    writing: Writing,
    message_id: int,
    *,
    status: MessageStatus,
    content: str,
    error_code: str | None = None,
    usage: dict[str, Any] | None = None,
) -> bool:
    """End an answer. False, and no change, if it has ended already."""
    values = {
        "row_id": message_id,
        "new_status": status,
        "new_content": content,
        "new_error_code": error_code,
        "new_usage": usage,
    }
    return writing.execute(_finish, values).rowcount == 1


def abandon(writing: Writing, generation_ids: Sequence[str], *, error_code: str) -> int:
    """End the running messages of generations whose process has died; their text stays."""
    rows = [{"of_generation": key, "new_error_code": error_code} for key in generation_ids]
    return writing.execute(_abandon, rows).rowcount if rows else 0


def forget_client_id(writing: Writing, message_id: int) -> None:
    """Free the client id of this message for another one."""
    writing.execute(_forget_client_id, {"row_id": message_id})


def variants(reading: Reading, conversation_id: int, message_id: int) -> list[Message]:
    """All messages at the position of this one, oldest first; itself only if it has no variants."""
    found = get(reading, conversation_id, message_id)
    if found is None:
        return []
    return fetch_all(reading, Message, _with_root, root_id=found.variant_of or found.id)


def variants_between(
    reading: Reading, conversation_id: int, first: int, last: int
) -> dict[int, list[int]]:
    """The ids at each position from `first` to `last` that has several, oldest first."""
    values = {"conversation_id": conversation_id, "first": first, "last": last}
    found: dict[int, list[int]] = {}
    for place, root_id, message_id in reading.execute(_variants_between, values):
        found.setdefault(place, [root_id]).append(message_id)
    return found


def select_variant(writing: Writing, conversation_id: int, message_id: int) -> Message:
    """Select this variant at its position.

    Raises:
        NotFoundError: there is no such message.
    """
    chosen = get(writing, conversation_id, message_id)
    if chosen is None:
        raise NotFoundError
    writing.execute(_deselect, {"in_id": conversation_id, "at_place": chosen.place})
    writing.execute(_select, {"row_id": message_id})
    shown = get(writing, conversation_id, message_id)
    return shown or chosen


def fall_back(writing: Writing, ended: Message, preferred_id: int | None = None) -> None:
    """If an answer ended without text, select a variant that has some.

    A variant that somebody has selected meanwhile stays selected.

    Args:
        writing: the transaction in which the answer ended.
        ended: the answer.
        preferred_id: the variant that was selected before; the newest unless given.
    """
    now_there = get(writing, ended.conversation_id, ended.id)
    if now_there is None or now_there.content or not now_there.selected:
        return
    with_words = fetch_one(
        writing,
        Message,
        _newest_with_words,
        conversation_id=ended.conversation_id,
        at_place=ended.place,
        preferred=preferred_id or 0,
    )
    if with_words is not None:
        select_variant(writing, ended.conversation_id, with_words.id)
