"""A stored answer as the events that it would have had, for who comes late or from elsewhere."""

from collections.abc import Iterator

from xwe import errors
from xwe.errors import XweError
from xwe.services.answers import TEXT_ID
from xwe.storage.records import Message
from xwe.storage.repositories.messages import FINAL_STATUSES
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream

# What a message may have ended with; each is made without arguments.
_BY_CODE: dict[str, type[XweError]] = {
    kind.code: kind
    for kind in (
        errors.SaturatedError,
        errors.DrainingError,
        errors.LimitExceededError,
        errors.ClosedError,
        errors.DeadlineExceededError,
        errors.DatabaseUnavailableError,
        errors.ProviderError,
        errors.ProviderTimeoutError,
        errors.ProviderAuthError,
        errors.ProviderRateLimitedError,
        errors.ProviderBadReplyError,
        errors.StreamInterruptedError,
        errors.CircuitOpenError,
        errors.AnswerLostError,
    )
}
PART_ID = f"{TEXT_ID}-1"


def stored_error(message: Message) -> XweError:
    """The error that ended the answer; one that is not known any more is a provider's."""
    kind = _BY_CODE.get(message.error_code or "", errors.ProviderError)
    return kind()


def data_turn(answer: Message, asked: Message | None = None) -> bytes:
    """Which rows the answer, and what was asked, are in: what a page needs to name them."""
    data = {
        "message_id": answer.id,
        "seq": answer.place,
        "user_message_id": None if asked is None else asked.id,
        "variant_of": answer.variant_of,
    }
    return ui_messages.event("data-turn", data=data, transient=True)


def opening_events(answer: Message) -> Iterator[bytes]:
    """What comes before the text."""
    yield ui_messages.start(answer.generation_id or "")
    yield data_turn(answer)
    yield ui_messages.START_STEP


def closing_events(answer: Message) -> Iterator[bytes]:
    """What comes after the text, once the answer has ended."""
    if answer.status == "complete":
        yield ui_messages.FINISH_STEP
        yield ui_messages.event("finish")
    elif answer.status == "cancelled":
        yield ui_messages.ABORT
    else:
        yield ui_messages.error(stored_error(answer))


def rebuilt(answer: Message, owner: str) -> LiveStream:
    """The whole stream of an answer that has ended."""
    stream = LiveStream(answer.generation_id or "", owner)
    for event in opening_events(answer):
        stream.append(event)
    if answer.content:
        stream.append(ui_messages.event("text-start", id=PART_ID))
        stream.append(ui_messages.delta("text", PART_ID, answer.content))
        stream.append(ui_messages.event("text-end", id=PART_ID))
    for event in closing_events(answer):
        stream.append(event)
    stream.finish()
    return stream


def has_ended(answer: Message) -> bool:
    """Whether nothing will be added to it."""
    return answer.status in FINAL_STATUSES
