"""A reply as events: parts that open and close in order, and errors that end them."""

import contextlib
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.completion import Completion, Delta
from xwe.errors import ProviderUnreachableError
from xwe.services.answers import ReplyEncoder
from xwe.streams.answer import Answer


class Scripted:
    """A model's stream; an exception among the deltas is raised."""

    def __init__(self, *deltas):
        self.completion = Completion(text="", model="m", finish_reason="stop")
        self._deltas = deltas
        self.closed = False

    async def __aiter__(self):
        for delta in self._deltas:
            if isinstance(delta, Exception):
                raise delta
            yield delta

    async def aclose(self):
        self.closed = True


def thought(text):
    return Delta(extra={"reasoning_content": text})


def events_of(stream):
    answer = Answer("id", "me").start(stream, ReplyEncoder("id", stream))
    events = []
    with contextlib.closing(answer.join()) as reader:
        while not reader.has_ended:
            events += map(orjson.loads, reader.drain(60))
    assert stream.closed
    return events


def said(events):
    return "".join(event["delta"] for event in events if event["type"] == "text-delta")


def kinds(events):
    return [event["type"] for event in events]


def test_a_reply_is_one_step_with_one_text():
    events = events_of(Scripted(Delta(text="你"), Delta(text=""), Delta(text="好")))
    assert events[0] == {"type": "start", "messageId": "id"}
    assert kinds(events)[1:] == [
        *("start-step", "text-start", "text-delta", "text-delta", "text-end"),
        *("finish-step", "data-timing", "finish"),
    ]
    assert said(events) == "你好"
    assert len({event["id"] for event in events if "id" in event}) == 1
    assert events[-1]["messageMetadata"]["finishReason"] == "stop"


def test_thinking_and_speaking_are_parts_of_their_own():
    events = events_of(Scripted(thought("hm"), Delta(text="so"), thought("oh"), Delta(text="no")))
    parts = [(e["type"], e["id"]) for e in events if e["type"].endswith(("-start", "-end"))]
    assert [kind for kind, _ in parts] == [
        *("reasoning-start", "reasoning-end", "text-start", "text-end") * 2
    ]
    assert len({identity for _, identity in parts}) == 4


@pytest.mark.parametrize("spoken", [(), (Delta(text="once"),)], ids=["before", "after"])
def test_an_error_closes_what_is_open_and_is_the_last_event(spoken):
    events = events_of(Scripted(*spoken, ProviderUnreachableError()))
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "provider_error"
    assert events[-1]["retryable"] is True
    assert "finish" not in kinds(events)
    assert kinds(events).count("text-start") == kinds(events).count("text-end") == len(spoken)


def test_an_empty_reply_has_no_part():
    assert kinds(events_of(Scripted())) == [
        *("start", "start-step", "finish-step", "data-timing", "finish")
    ]


def test_an_emoji_that_came_in_two_halves_is_one():
    events = events_of(Scripted(Delta(text="a\ud83d"), Delta(text="\ude00b")))
    assert [event["delta"] for event in events if event["type"] == "text-delta"] == ["a", "😀b"]


def test_half_a_character_that_nothing_follows_is_marked_as_missing():
    assert said(events_of(Scripted(Delta(text="a\ud83d")))) == "a\ufffd"
    assert said(events_of(Scripted(Delta(text="\ude00b")))) == "\ufffdb"


@given(st.text(), st.lists(st.integers(0, 60)))
def test_any_text_in_any_pieces_is_said_whole(text, cuts):
    """Also where the pieces cut 16-bit characters in two, as JSON escapes can."""
    units = text.encode("utf-16-le")
    places = sorted({0, len(units), *(2 * cut for cut in cuts if 2 * cut < len(units))})
    pieces = [
        units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(places)
    ]
    encoder = ReplyEncoder("id", Scripted())
    events = [event for piece in pieces for event in encoder.feed(Delta(text=piece))]
    assert said(map(orjson.loads, events)) == text == encoder.text
