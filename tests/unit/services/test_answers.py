"""A reply as events: parts that open and close in order, and errors that end them."""

import orjson
import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.completion import Completion, Delta
from xwe.errors import ProviderUnreachableError
from xwe.services.answers import answer_events


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
    async def collect():
        return [orjson.loads(event) async for event in answer_events(stream, "id")]

    events = get_loop_thread().run(collect(), 60)
    assert stream.closed
    return events


def kinds(events):
    return [event["type"] for event in events]


def test_a_reply_is_one_step_with_one_text():
    events = events_of(Scripted(Delta(text="你"), Delta(text=""), Delta(text="好")))
    assert events[0] == {"type": "start", "messageId": "id"}
    assert kinds(events)[1:] == [
        *("start-step", "text-start", "text-delta", "text-delta", "text-end"),
        *("finish-step", "data-timing", "finish"),
    ]
    assert "".join(event.get("delta", "") for event in events) == "你好"
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
