"""A reply prepared for the wire: its parts in order, and when each piece is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xwe.mock.behaviour import Behaviour
from xwe.mock.deltas import Deltas, reply_deltas
from xwe.mock.protocol import DONE, ChunkEncoder, CompletionIdentity, ModelReply, encode_completion

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_LINE_ENDS: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
# The piece in which a plain reply's body is counted when it breaks off.
BODY_PIECE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The parts of a reply's body, in order.

    Attributes:
        content_type: the reply's content type.
        opening: what comes before the first piece; empty for a plain reply.
        pieces: what is paced, and counted by `Behaviour.after_pieces`.
        due: when each piece is due, in tokens after the first.
        closing: what follows the last piece.
        line_end: how a stream's lines end; None for a plain reply.
    """

    content_type: str
    opening: bytes
    pieces: Sequence[bytes]
    due: Sequence[int]
    closing: Sequence[bytes]
    line_end: bytes | None

    def first(self, count: int) -> tuple[Sequence[bytes], Sequence[int]]:
        """The first `count` pieces and when they are due."""
        return self.pieces[:count], self.due[:count]

    def after(self, count: int) -> bytes:
        """Everything after the first `count` pieces; with none of them, the opening too."""
        opening = b"" if count else self.opening
        return opening + b"".join((*self.pieces[count:], *self.closing))

    def framed(self, payload: bytes) -> bytes:
        """A payload as it stands in this reply: an event of a stream, or as it is."""
        return payload if self.line_end is None else _event(payload, self.line_end)


def plain_delivery(identity: CompletionIdentity, reply: ModelReply) -> Delivery:
    """A plain reply in small pieces, so that it can break off anywhere."""
    body = encode_completion(identity, reply)
    starts = range(0, len(body), BODY_PIECE_BYTES)
    return Delivery(
        content_type="application/json",
        opening=b"",
        pieces=[body[start : start + BODY_PIECE_BYTES] for start in starts],
        due=[0] * len(starts),
        closing=(),
        line_end=None,
    )


def stream_delivery(
    identity: CompletionIdentity, reply: ModelReply, behaviour: Behaviour
) -> Delivery:
    """A streamed reply: role, pieces, finish_reason, usage if requested, [DONE]."""
    encoder = ChunkEncoder(identity)
    line_end = _LINE_ENDS[behaviour.line_end]
    deltas = reply_deltas(
        reply, behaviour.tool_arguments, behaviour.tool_call_shape, behaviour.tool_call_order
    )
    closing = []
    if reply.finish_reason is not None:
        closing.append(encoder.finish(reply.finish_reason))
    if identity.with_usage:
        closing.append(encoder.usage(reply.usage()))
    if behaviour.fault != "no_done":
        closing.append(DONE)
    pieces = _encode_pieces(encoder, deltas, line_end)
    if behaviour.comment_every is not None:
        comment = b": keep-alive" + line_end * 2
        for index in range(0, len(pieces), behaviour.comment_every):
            pieces[index] = comment + pieces[index]
    return Delivery(
        content_type=EVENT_STREAM,
        opening=_event(encoder.opening(), line_end),
        pieces=pieces,
        due=deltas.due,
        closing=[_event(payload, line_end) for payload in closing],
        line_end=line_end,
    )


def grouped(
    pieces: Sequence[bytes], due: Sequence[int], size: int
) -> tuple[Sequence[bytes], Sequence[int]]:
    """The pieces in groups of `size`; a group is due with its last piece."""
    if size == 1:
        return pieces, due
    starts = range(0, len(pieces), size)
    return (
        [b"".join(pieces[start : start + size]) for start in starts],
        [due[min(start + size, len(due)) - 1] for start in starts],
    )


def _event(payload: bytes, line_end: bytes) -> bytes:
    return b"data: " + payload + line_end * 2


def _encode_pieces(encoder: ChunkEncoder, deltas: Deltas, line_end: bytes) -> list[bytes]:
    # Hot path: this runs for every piece of every stream.
    head, tail = b"data: " + encoder.head, encoder.tail + line_end * 2
    return [head + delta + tail for delta in deltas.encoded]
