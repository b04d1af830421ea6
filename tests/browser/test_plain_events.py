"""A browser's own EventSource on a GET that says something: it connects again by itself."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import WUKONG, Reader

from xwe.mock import Behaviour, MockServer
from xwe.storage.repositories import characters, conversations, messages

pytestmark = pytest.mark.browser

# On no page of ours.
SAID = "饕餮之徒"

LISTEN = """
path => {
  const seen = window.seen = {opened: 0, text: "", kinds: []};
  const source = new EventSource(path);
  seen.closed = new Promise(resolve => {
    source.onopen = () => { seen.opened += 1; };
    source.onmessage = event => { seen.text += event.data; };
    source.addEventListener("done", () => seen.kinds.push("done"));
    source.addEventListener("error", event => {
      if (event.data) seen.kinds.push("error");
      if (source.readyState === EventSource.CLOSED) resolve();
    });
  });
}
"""
PATH = f"/api/chat/{WUKONG}/stream?content=hi"
SEEN = "async () => { await seen.closed; return {...seen, closed: true}; }"


class Gate(threading.Event):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def statuses(reader: Reader) -> list[str]:
    with reader.database.read() as reading:
        character = characters.get(reading, reader.id, WUKONG)
        chat = conversations.with_character(reading, reader.id, character.id)
        return [one.status for one in messages.page(reading, chat.id).messages]


def test_an_answer_that_fails_before_its_first_word_is_asked_for_once(
    reader: Reader, mock_server: MockServer
) -> None:
    reader.make()
    mock_server.script(Behaviour(fault="status", status=401))
    reader.page.evaluate(LISTEN, PATH)
    seen = reader.page.evaluate(SEEN)
    assert (seen["kinds"], seen["opened"]) == (["error", "done"], 1)
    assert len(mock_server.requests) == 1
    assert statuses(reader) == ["complete", "failed"]


def test_a_connection_that_is_lost_before_the_first_word_is_made_again_without_asking_twice(
    sign_up: Callable[..., Reader],
    relay: Callable[..., Any],
    chat_server: Any,
    mock_server: MockServer,
) -> None:
    wire = relay(chat_server.url, stop_within=SAID[0])
    wire._may_go_on = gate = Gate()
    reader = sign_up(wire.url)
    reader.make()
    mock_server.script(Behaviour(text=SAID))
    reader.page.evaluate(LISTEN, PATH)
    assert gate.reached.wait(60)
    reader.page.wait_for_function("seen.opened === 1")
    wire.cut()
    wire.go_on()
    wire.mend()
    seen = reader.page.evaluate(SEEN)
    assert (seen["text"], seen["kinds"], seen["opened"]) == (SAID, ["done"], 2)
    assert len(mock_server.requests) == 1
    assert statuses(reader) == ["complete", "complete"]
