"""What was asked, called, returned and shown in a turn: each request's messages come from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xwe.core.nlp.completion import Message
from xwe.core.nlp.tools.call import Call
from xwe.core.nlp.tools.conversation import (
    bridge_message,
    calling_message,
    check_conversation,
    result_messages,
    shown_message,
)


@dataclass(slots=True)
class Exchange:
    """The model's message that made calls, the calls, and what was shown after it.

    Attributes:
        said: the message, as it came.
        calls: that it made.
        shown: texts, in order.
        is_told: whether the model has been asked with it in the history.
        is_bridged: whether a bridge belongs to it already, or none is wanted any more.
    """

    said: Message
    calls: Sequence[Call]
    shown: list[str] = field(default_factory=list)
    is_told: bool = False
    is_bridged: bool = False


class History:
    """The conversation so far.

    Args:
        messages: before the turn, the user's last one included.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._exchanges: list[Exchange] = []
        self._shown_early: list[str] = []

    @property
    def last(self) -> Exchange | None:
        """The newest exchange."""
        return self._exchanges[-1] if self._exchanges else None

    def add(self, said: Message, calls: Sequence[Call]) -> Exchange:
        """The model has finished a message that makes calls."""
        exchange = Exchange(said, calls, self._shown_early)
        self._shown_early = []
        self._exchanges.append(exchange)
        return exchange

    def show(self, text: str) -> None:
        """The user has been shown this after the last exchange."""
        if text and self._exchanges:
            self._exchanges[-1].shown.append(text)

    def show_early(self, text: str) -> None:
        """The user has been shown this while the model still writes its calls."""
        if text:
            self._shown_early.append(text)

    def for_answer(self) -> list[Message]:
        """The messages of a request that knows everything."""
        for exchange in self._exchanges:
            exchange.is_told = exchange.is_bridged = True
        return self._checked([])

    def for_bridge(self, calls: Iterable[Call]) -> list[Message]:
        """Those of a request that passes the time until `calls` have their results.

        The message that made the calls is not among them: without results it may not be sent.
        """
        running = [call.as_text() for call in calls if call.is_pending]
        last = self.last
        if last is None or last.is_told:  # the calls belong to a message that is still written
            return self._checked([bridge_message("", running)])
        last.is_bridged = True
        said = str(last.said.get("content") or "")
        return self._checked([bridge_message(said, running)], self._exchanges[:-1])

    def _checked(
        self, tail: list[Message], exchanges: Sequence[Exchange] | None = None
    ) -> list[Message]:
        messages = [*self._messages]
        for exchange in self._exchanges if exchanges is None else exchanges:
            texts = [call.as_text() for call in exchange.calls]
            messages.append(calling_message(exchange.said, texts))
            messages += result_messages(texts)
            messages += shown_message("\n\n".join(exchange.shown))
        messages += tail
        check_conversation(messages)
        return messages
