"""Which call a piece of a streamed tool call belongs to.

The protocol gives every call an index and, in its first piece, an id. Providers leave out either,
send index 0 for all calls, the id or the name with every piece, one id for all calls, or another
id with every piece. What can be relied upon: a name comes at a call's beginning, and nothing is
added to an object that has been closed.
"""

import secrets

from xwe.core.nlp.completion import ToolCallDelta
from xwe.core.nlp.tools.scanner import ArgumentScanner


class GroupedCall:
    """A call while it grows.

    Attributes:
        call_id: the provider's, or a made one where it gave none, or gave it before.
        sent_id: the provider's; "" where it gave none.
        name: "" until it has come.
        index: the provider's; None where it gave none.
        follows: the call before it, which its beginning has ended; None where it may still grow.
        scanner: of the arguments.
    """

    __slots__ = ("call_id", "follows", "index", "name", "scanner", "sent_id")

    def __init__(self, call_id: str, follows: "GroupedCall | None") -> None:
        self.call_id = call_id
        self.sent_id = ""
        self.name = ""
        self.index: int | None = None
        self.follows = follows
        self.scanner = ArgumentScanner()

    def take(self, arguments: str) -> str:
        """Take a piece of the arguments; how much of it belongs to them."""
        before = self.scanner.length
        self.scanner.feed(arguments)
        return arguments[: self.scanner.length - before]


class CallGrouping:
    """The calls of one reply, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: list[GroupedCall] = []
        self._last: GroupedCall | None = None
        self._by_index: dict[int, GroupedCall] = {}
        self._by_id: dict[str, GroupedCall] = {}

    def call_of(self, piece: ToolCallDelta) -> GroupedCall:
        """The call that a piece belongs to; it knows the piece's id and name, not its arguments."""
        found = self._find(piece)
        if found is None or _begins_another(piece, found):
            found = GroupedCall(self._id_for(piece), found)
            self.calls.append(found)
        if piece.id and not found.sent_id:
            found.sent_id = piece.id
            self._by_id[piece.id] = found
        if piece.index is not None:
            found.index = piece.index if found.index is None else found.index
            self._by_index[piece.index] = found
        found.name = found.name or piece.name or ""
        self._last = found
        return found

    def _id_for(self, piece: ToolCallDelta) -> str:
        if piece.id and piece.id not in self._by_id:
            return piece.id
        return f"call_{secrets.token_hex(8)}"

    def _find(self, piece: ToolCallDelta) -> GroupedCall | None:
        """The call that fits by its id or, where that says nothing, by its index or as the last."""
        here = self._last if piece.index is None else self._by_index.get(piece.index)
        if here is None and self._last is not None and self._last.index is None:
            here = self._last  # the index comes later than the call
        if not piece.id or (here is not None and here.sent_id == piece.id):
            return here
        known = self._by_id.get(piece.id)
        if known is None or (None not in {piece.index, known.index} and piece.index != known.index):
            return here
        return known


def _begins_another(piece: ToolCallDelta, call: GroupedCall) -> bool:
    """Whether `piece`, which would fit `call`, is the beginning of another one."""
    has_new_id = bool(piece.id and call.sent_id and piece.id != call.sent_id)
    is_closed = call.scanner.is_closed
    if not piece.name:
        # A new id alone is a whim where there is still something to add: some send one each time.
        return has_new_id and (is_closed or not piece.arguments)
    if has_new_id or (call.name and piece.name != call.name):
        return True
    if not is_closed:
        return False
    # The same name after the end, or the first one. Who gives ids gives each call one, or the
    # same to all: so other arguments mean another call, and the same ones this call again.
    if piece.id or call.sent_id or not call.name:
        return piece.arguments.strip() not in {"", call.scanner.text.strip()}
    return True
