"""The messages of a turn with tools: what the model is told in each request.

Providers refuse a conversation in which a tool call has no result, or two. So the messages are
built anew for each request from what has happened, and checked before they are sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xwe.core.nlp.completion import Message, ToolCall
from xwe.core.nlp.tools.tool_calls import TurnCall
from xwe.errors import InvalidRequestError

RUNNING = "[running] There is no result yet; it will come. Do not call this again."


@dataclass(slots=True)
class CallExchange:
    """An answer that made calls, the calls, and what was shown after it.

    Attributes:
        said: the model's message, as it came.
        calls: the calls that it made.
        shown: texts, in order.
        is_told: whether a request has held this exchange.
        is_bridged: whether it has had its bridge, or needs none.
    """

    said: Message
    calls: Sequence[TurnCall]
    shown: list[str] = field(default_factory=list)
    is_told: bool = False
    is_bridged: bool = False

    def messages(self) -> list[Message]:
        """The exchange as a request holds it: exactly one tool message for each call."""
        return [
            _calling_message(self.said, self.calls),
            *(_result_message(call) for call in self.calls),
            *_shown_message("\n\n".join(self.shown)),
        ]


class TurnHistory:
    """The conversation so far.

    Args:
        messages: before the turn, including the user's last one.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._exchanges: list[CallExchange] = []
        self._shown_early: list[str] = []

    @property
    def last(self) -> CallExchange | None:
        """The newest exchange."""
        return self._exchanges[-1] if self._exchanges else None

    def add(self, said: Message, calls: Sequence[TurnCall]) -> CallExchange:
        """Add an answer that makes calls, once it is complete."""
        exchange = CallExchange(said, calls, self._shown_early)
        self._shown_early = []
        self._exchanges.append(exchange)
        return exchange

    def show(self, text: str) -> None:
        """Record text that was shown after the last exchange."""
        if text and self._exchanges:
            self._exchanges[-1].shown.append(text)

    def show_early(self, text: str) -> None:
        """Record text that was shown while the model was still writing its calls."""
        if text:
            self._shown_early.append(text)

    def for_answer(self) -> list[Message]:
        """The messages of a request that holds everything known."""
        for exchange in self._exchanges:
            exchange.is_told = exchange.is_bridged = True
        return self._checked(self._exchanges)

    def for_bridge(self, calls: Iterable[TurnCall]) -> list[Message]:
        """The messages of a request that passes the time until `calls` have their results.

        The message that made the calls is left out: without results it must not be sent.
        """
        running = [call for call in calls if call.is_pending]
        last = self.last
        if last is None or last.is_told:  # the message with the calls is still being written
            return self._checked(self._exchanges, _bridge_message("", running))
        last.is_bridged = True
        said = str(last.said.get("content") or "")
        return self._checked(self._exchanges[:-1], _bridge_message(said, running))

    def _checked(self, exchanges: Sequence[CallExchange], *tail: Message) -> list[Message]:
        messages = [*self._messages]
        for exchange in exchanges:
            messages += exchange.messages()
        messages += tail
        check_conversation(messages)
        return messages


def _calling_message(said: Message, calls: Sequence[TurnCall]) -> Message:
    """The assistant's message that made the calls; fields that we do not know stay as they came."""
    written = [ToolCall(call.call_id, call.name, call.arguments).on_wire() for call in calls]
    return {
        **said,
        "role": "assistant",
        "content": said.get("content") or None,
        "tool_calls": written,
    }


def _result_message(call: TurnCall) -> Message:
    content = RUNNING if call.outcome is None else call.outcome.text
    return {"role": "tool", "tool_call_id": call.call_id, "content": content}


def _shown_message(shown: str) -> list[Message]:
    """What the user has read since the calls were made, word for word; no message if nothing.

    It is a message of its own: inside the message that makes the calls, the model would take it
    for something that it said before calling.
    """
    if not shown:
        return []
    content = (
        "While the tools ran, the user was shown exactly this text, which may end in the middle "
        f"of a sentence:\n<shown>{shown}</shown>\n"
        "Go on from there in the same language, with what the tools have returned. Repeat nothing "
        "of it and do not greet again; where a result contradicts it, say so."
    )
    return [{"role": "system", "content": content}]


def _bridge_message(said: str, calls: Iterable[TurnCall]) -> Message:
    """What asks the model to go on talking while the tools run."""
    running = ", ".join(f"{call.name}({call.arguments})" for call in calls)
    before = f"You have said so far: <said>{said}</said>\n" if said else ""
    content = (
        f"These tools are running for you, and their results are not there yet: {running}\n{before}"
        "Until then go on talking to the user, in the user's language: something useful that does "
        "not depend on the results. Do not guess the results, do not promise when they come, do "
        "not repeat yourself, call nothing, and do not conclude."
    )
    return {"role": "system", "content": content}


def check_conversation(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what a provider would refuse.

    Raises:
        InvalidRequestError: a call without exactly one result, or a result without its call.
    """
    open_ids: list[str] = []
    for message in messages:
        if message.get("role") == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in open_ids:
                raise _invalid(f"a result for {call_id!r:.80}, which is no call just before it")
            open_ids.remove(call_id)
            continue
        if open_ids:
            raise _invalid(f"no result for the call {open_ids[0]!r:.80}")
        if message.get("role") == "assistant":
            open_ids = [call["id"] for call in message.get("tool_calls") or ()]
            if len(set(open_ids)) != len(open_ids):
                raise _invalid("two calls with the same id")
    if open_ids:
        raise _invalid(f"no result for the call {open_ids[0]!r:.80}")


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(f"The conversation has {what}.", field="messages")
