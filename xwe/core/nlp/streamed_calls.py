"""The tool calls of a streamed reply: which piece belongs to which call, and when each call ends.

The protocol gives every call an index and, in its first piece, an id. Providers leave out either
one, send index 0 for all calls, repeat the id or the name with every piece, use one id for all
calls, or send a new id with every piece. Two things can be relied on: the name comes at the start
of a call, and nothing is added to an object that has closed.
"""

import secrets

from xwe.core.nlp.completion import ToolCall, ToolCallDelta
from xwe.core.nlp.tool_arguments import (
    MAX_ARGUMENT_CHARACTERS,
    NOT_AN_OBJECT,
    UNFINISHED,
    ArgumentScanner,
    parse_arguments,
)


def new_call_id() -> str:
    """An id for a call that has none, or whose id is taken."""
    return f"call_{secrets.token_hex(8)}"


class StreamedCall:
    """One call while it is being written.

    Attributes:
        index: its number in the reply, from 0.
        call_id: the provider's id, or a new one where that is missing or was used before.
        sent_id: the provider's id; "" until there is one.
        sent_index: the provider's index; None until there is one.
        name: of the tool; "" until it is known.
        is_announced: a piece with its name has been passed on.
        ended: the call, once its arguments are whole or cannot become so.
    """

    __slots__ = (
        "_pieces",
        "_scanner",
        "call_id",
        "ended",
        "index",
        "is_announced",
        "name",
        "sent_id",
        "sent_index",
    )

    def __init__(self, index: int, call_id: str) -> None:
        self.index = index
        self.call_id = call_id
        self.sent_id = ""
        self.sent_index: int | None = None
        self.name = ""
        self.is_announced = False
        self.ended: ToolCall | None = None
        self._pieces: list[str] = []
        self._scanner = ArgumentScanner()

    @property
    def arguments(self) -> str:
        """The text so far, up to the closing brace, whether or not it is an object."""
        return "".join(self._pieces)

    @property
    def is_closed(self) -> bool:
        """Whether the closing brace has come."""
        return self._scanner.is_closed

    def take(self, piece: ToolCallDelta) -> ToolCallDelta | None:
        """Add a piece; what of it is to be passed on, if anything."""
        scanner, arguments = self._scanner, piece.arguments
        taken = arguments[: scanner.feed(arguments)]
        if taken:
            self._pieces.append(taken)
        if self.ended is not None or not self.name:
            return None
        if scanner.is_closed or scanner.is_broken:
            self.ended = self.as_call()
        elif self.is_announced and piece.index == self.index and piece.id is None is piece.name:
            return piece if taken else None  # the usual case, passed on as it came
        if not self.is_announced:
            self.is_announced = True
            return ToolCallDelta(self.index, self.call_id, self.name, self.arguments, self.ended)
        if taken or self.ended is not None:
            return ToolCallDelta(self.index, arguments=taken, call=self.ended)
        return None

    def end_without_arguments(self) -> ToolCallDelta | None:
        """The piece that ends a call to which no arguments were given; None for any other call."""
        if self.ended is not None or not self.is_announced or self.arguments.strip():
            return None
        self.ended = self.as_call()
        return ToolCallDelta(self.index, call=self.ended)

    def as_call(self) -> ToolCall:
        """The call as it stands, with its arguments parsed."""
        if self.ended is not None and not self._scanner.is_broken:
            return self.ended
        text = self.arguments
        value, fault = None, UNFINISHED
        if self._scanner.is_too_long:
            fault = f"The arguments are longer than {MAX_ARGUMENT_CHARACTERS} characters."
        elif self._scanner.is_broken:
            fault = NOT_AN_OBJECT
        elif self.is_closed or not text.strip():
            value, fault = parse_arguments(text)
        return ToolCall(self.call_id, self.name, text, value, fault)


class StreamedCalls:
    """The calls of one reply, in the order in which they began.

    Attributes:
        calls: all of them, including one whose name never came.
    """

    def __init__(self) -> None:
        self.calls: list[StreamedCall] = []
        self._last: StreamedCall | None = None
        self._by_index: dict[int, StreamedCall] = {}
        self._by_id: dict[str, StreamedCall] = {}

    def add(self, piece: ToolCallDelta) -> tuple[ToolCallDelta, ...]:
        """Take a piece as a provider sent it; what it means, in the protocol's own form.

        Returns:
            No piece where it tells nothing new, and two where it also ends the call before it.
        """
        call, ended = self._find(piece), None
        if call is None or _begins_another(piece, call):
            ended = None if call is None else call.end_without_arguments()
            call = self._begin(piece)
        if piece.id and not call.sent_id:
            call.sent_id = piece.id
            self._by_id[piece.id] = call
        if piece.index is not None:
            if call.sent_index is None:
                call.sent_index = piece.index
            self._by_index[piece.index] = call
        call.name = call.name or piece.name or ""
        self._last = call
        grown = call.take(piece)
        if grown is None:
            return () if ended is None else (ended,)
        return (grown,) if ended is None else (ended, grown)

    def _begin(self, piece: ToolCallDelta) -> StreamedCall:
        is_new = piece.id is not None and piece.id not in self._by_id
        call = StreamedCall(len(self.calls), piece.id if piece.id and is_new else new_call_id())
        self.calls.append(call)
        return call

    def _find(self, piece: ToolCallDelta) -> StreamedCall | None:
        """The call with the piece's id; without a usable id, by its index or as the last one."""
        here = self._last if piece.index is None else self._by_index.get(piece.index)
        if here is None and self._last is not None and self._last.sent_index is None:
            here = self._last  # its index came later than the call itself
        if not piece.id or (here is not None and here.sent_id == piece.id):
            return here
        known = self._by_id.get(piece.id)
        if known is None:
            return here
        is_elsewhere = None not in {piece.index, known.sent_index}
        return here if is_elsewhere and piece.index != known.sent_index else known


def _begins_another(piece: ToolCallDelta, call: StreamedCall) -> bool:
    """Whether `piece`, which would fit `call`, is the start of another call."""
    has_new_id = bool(piece.id and call.sent_id and piece.id != call.sent_id)
    if not piece.name:
        # Some providers send a new id with every piece: alone, it starts nothing while the
        # object is still open.
        return has_new_id and (call.is_closed or not piece.arguments)
    if has_new_id or (call.name and piece.name != call.name):
        return True
    if not call.is_closed:
        return False
    # The same name after the end, or the first name. A provider that gives ids gives each call its
    # own, or all calls the same: other arguments are another call, equal ones are a repetition.
    if piece.id or call.sent_id or not call.name:
        return piece.arguments.strip() not in {"", call.arguments.strip()}
    return True
