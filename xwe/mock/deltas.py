"""A streamed reply as delta objects, in the shapes that providers use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from xwe.mock.behaviour import ToolArguments, ToolCallOrder, ToolCallShape
from xwe.mock.protocol import ModelReply, ReplyToolCall, arguments_object
from xwe.mock.tokens import split_tokens

# A piece of a call: the call's part of a delta object, and its duration in tokens.
CallPiece = tuple[dict[str, Any], int]

# Shapes that leave out the index, or the id.
_WITHOUT_INDEX: Final = frozenset({"no_index", "bare"})
_WITHOUT_ID: Final = frozenset({"no_id", "bare"})


@dataclass(frozen=True, slots=True)
class Deltas:
    """The pieces of a streamed reply: encoded delta objects and when each is due.

    `due[i]` is in tokens after the first piece.
    """

    encoded: Sequence[bytes]
    due: Sequence[int]


@lru_cache(maxsize=256)
def _text_deltas(key: str, text: str) -> tuple[bytes, ...]:
    head = b'{"' + key.encode() + b'":'
    return tuple(head + orjson.dumps(piece) + b"}" for piece in split_tokens(text))


def reply_deltas(
    reply: ModelReply,
    arguments: ToolArguments,
    shape: ToolCallShape,
    order: ToolCallOrder = "in_turn",
) -> Deltas:
    """The reply as deltas: reasoning, text, tool calls, text after them."""
    encoded: tuple[bytes, ...] = ()
    if reply.reasoning:
        encoded += _text_deltas("reasoning_content", reply.reasoning)
    if reply.text:
        encoded += _text_deltas("content", reply.text)
    tail = _text_deltas("content", reply.text_after) if reply.text_after else ()
    if not reply.tool_calls:
        encoded += tail
        return Deltas(encoded, range(len(encoded)))
    pieces = list(encoded)
    due = list(range(len(encoded)))
    clock = len(encoded)
    for piece, tokens in _all_calls(reply.tool_calls, arguments, shape, order):
        # A burst is due when its last token would be.
        clock += tokens
        pieces.append(orjson.dumps({"tool_calls": [piece]}))
        due.append(max(0, clock - 1))
    pieces.extend(tail)
    due.extend(range(clock, clock + len(tail)))
    return Deltas(pieces, due)


def _all_calls(
    calls: Sequence[ReplyToolCall],
    arguments: ToolArguments,
    shape: ToolCallShape,
    order: ToolCallOrder,
) -> Iterator[CallPiece]:
    each = [_call_pieces(index, call, arguments, shape) for index, call in enumerate(calls)]
    pieces = _alternating(each) if order == "interleaved" else (p for one in each for p in one)
    if arguments != "burst_at_end":
        yield from pieces
        return
    wait = sum(len(split_tokens(call.arguments)) for call in calls)
    for piece, _ in pieces:
        yield piece, wait
        wait = 0


def _alternating(each: Iterable[Iterator[CallPiece]]) -> Iterator[CallPiece]:
    """A piece of each call in turn, until all are used up."""
    left = list(each)
    while left:
        for one in list(left):
            piece = next(one, None)
            if piece is None:
                left.remove(one)
            else:
                yield piece


def _call_pieces(
    index: int, call: ReplyToolCall, arguments: ToolArguments, shape: ToolCallShape
) -> Iterator[CallPiece]:
    place: dict[str, Any] = {"index": 0 if shape == "zero_index" else index}
    if shape in _WITHOUT_INDEX:
        place = {}
    identity = {} if shape in _WITHOUT_ID else {"id": call.id}
    opening = {**place, **identity, "type": "function"}
    name = {"name": call.name}
    if shape == "late_name":
        yield {**opening, "function": {"arguments": ""}}, 0
        opening = place
    tokens = split_tokens(call.arguments)
    if arguments != "trickle":
        whole = arguments_object(call) if arguments == "object" else call.arguments
        yield {**opening, "function": {**name, "arguments": whole}}, len(tokens)
        return
    yield {**opening, "function": {**name, "arguments": ""}}, 0
    repeated: Mapping[str, Any] = name if shape == "repeated" else {}
    following = {**place, **identity} if shape == "repeated" else place
    for token in tokens:
        yield {**following, "function": {**repeated, "arguments": token}}, 1
