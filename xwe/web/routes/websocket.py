"""`GET /ws`: answers and notifications over one WebSocket, as JSON text messages.

A client says, each with an `id` of its choice that comes back in the reply:

- `{"type": "chat", "message" or "messages", …}` → `started`, `event` after `event`, `done`
- `{"type": "rejoin", "stream", "after"}` → the same from the event after number `after`
- `{"type": "stop", "stream"}` → the answer ends, which its readers see
- `{"type": "subscribe"}` → `subscribed`, and a `notification` for each one from then on
- `{"type": "ping"}` → `pong`; browsers cannot send the protocol's own

What is wrong with a message is an `error` in reply; the connection stays. Many answers can be read
over one connection at the same time.

A connection outlives the request that opened it, and may outlive the sign-in: who opened it is
asked for again whenever something is wanted, and at each heartbeat. One who has been signed out, or
whose token or account is gone, is told goodbye with the code 1008.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from flask import Blueprint, Response, request
from websockets.frames import CloseCode

from xwe.errors import (
    DatabaseUnavailableError,
    InvalidRequestError,
    SaturatedError,
    StreamGapError,
    UnauthorizedError,
)
from xwe.streams.answer import AnswerReader
from xwe.streams.answers import NOBODY
from xwe.web.application import Application, calls_model, current_application
from xwe.web.bodies import model
from xwe.web.bodies.json_bytes import parse_object
from xwe.web.errors import report
from xwe.web.identity import RequestCredentials, body_limit, stream_owner
from xwe.web.routes import generations
from xwe.web.streaming.reader_slots import ReaderSlot
from xwe.web.streaming.websocket import WebSocket, WebSocketResponse, event_frame

if TYPE_CHECKING:
    from xwe.streams.notifications import Subscription

blueprint = Blueprint("websocket", __name__)

# As many as a browser has tabs; more would let one connection take all places for answers.
MAX_STREAMS = 32

SIGNED_OUT = "The sign-in has ended."

_LARGEST_NUMBER = 10**9


@blueprint.get("/ws", websocket=True)
@calls_model
def converse() -> Response:
    """Upgrade to a WebSocket. It holds a thread, so it takes a slot like any reader."""
    app, owner = current_application(), stream_owner()
    slot = app.reader_slots.take(owner)
    try:
        websocket = WebSocket(
            request.environ,
            heartbeat_s=app.writing_times.heartbeat_s,
            max_bytes=body_limit(),
        )
    except BaseException:
        slot.leave()
        raise
    caller = Caller(app, owner, RequestCredentials.shown())
    dialogue = Dialogue(app, websocket, caller, slot)
    return WebSocketResponse(websocket, dialogue.run, dialogue.close)


class Caller:
    """Who opened a connection, and whether they still are who they were.

    Args:
        app: that knows its accounts.
        owner: `stream_owner()`'s word; nobody stays nobody, and is not asked for again.
        credentials: what they showed.
    """

    def __init__(self, app: Application, owner: str, credentials: RequestCredentials) -> None:
        self.owner = owner
        self._credentials = credentials
        self._accounts = app.services.accounts
        self._every_s = app.writing_times.heartbeat_s
        self._asked_at = time.monotonic()

    def confirm(self) -> None:
        """Ask for them again.

        Raises:
            UnauthorizedError: they are no longer signed in.
            DatabaseUnavailableError: it cannot be told now.
        """
        if self.owner == NOBODY:
            return
        self._asked_at = time.monotonic()
        identity = self._credentials.identity(self._accounts)
        if identity is None or str(identity.account.id) != self.owner:
            raise UnauthorizedError

    def confirm_now_and_then(self) -> None:
        """Ask for them again if that was a heartbeat ago.

        Raises:
            UnauthorizedError: they are no longer signed in.
        """
        if self.due_in_s() == 0:
            # Nobody can be signed out either while the database is away.
            with suppress(DatabaseUnavailableError):
                self.confirm()

    def due_in_s(self) -> float | None:
        """When it will have been a heartbeat; None for never."""
        if self.owner == NOBODY:
            return None
        return max(0.0, self._asked_at + self._every_s - time.monotonic())


class Dialogue:
    """What is said over one connection; on the connection's thread."""

    def __init__(
        self, app: Application, websocket: WebSocket, caller: Caller, slot: ReaderSlot
    ) -> None:
        self._app = app
        self._caller = caller
        self._owner = caller.owner
        self._slot = slot
        self._websocket = websocket
        self._readers: dict[str, AnswerReader] = {}
        # Those that have nothing to read until they say so.
        self._asleep: set[str] = set()
        self._subscription: Subscription | None = None
        app.wake_at_drain.add(websocket.wake)

    def run(self) -> None:
        """Listen and speak until one side ends it.

        Raises:
            ConnectionError: the client did.
        """
        try:
            while not (self._app.is_draining and not self._readers):
                self._take_turns()
        except UnauthorizedError:
            self._websocket.say_goodbye(CloseCode.POLICY_VIOLATION, SIGNED_OUT)
        else:
            self._websocket.say_goodbye(CloseCode.GOING_AWAY)

    def _take_turns(self) -> None:
        """Listen, until there is something to say, and say it.

        Raises:
            UnauthorizedError: who opened the connection is no longer signed in.
        """
        is_waiting = len(self._asleep) == len(self._readers)
        replies = []
        for message in self._websocket.receive(self._caller.due_in_s() if is_waiting else 0):
            replies += self._reply(message)
        self._caller.confirm_now_and_then()
        outgoing = self._outgoing()
        self._websocket.send([*replies, *outgoing])
        if outgoing:
            time.sleep(self._app.writing_times.flush_s)  # what comes meanwhile goes out at once

    def close(self) -> None:
        """Leave everything and give the place back."""
        self._app.wake_at_drain.discard(self._websocket.wake)
        for reader in self._readers.values():
            reader.close()
        if self._subscription is not None:
            self._subscription.close()
        self._slot.leave()

    # --- what the client says ---

    def _reply(self, message: str) -> list[bytes]:
        said: Mapping[str, Any] = {}
        try:
            said = parse_object(message.encode())
            answer = self._obey(said)
        except UnauthorizedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection stays
            answer = {"type": "error", "error": report(error)}
        if answer is None:
            return []
        identity = said.get("id")
        if isinstance(identity, str | int):
            answer["id"] = identity
        return [orjson.dumps(answer)]

    def _obey(self, said: Mapping[str, Any]) -> dict[str, Any] | None:
        kind = said.get("type")
        obey = self._ORDERS.get(kind) if isinstance(kind, str) else None
        if obey is None:
            raise InvalidRequestError(
                f"type must be one of {', '.join(self._ORDERS)}.", field="type"
            )
        return obey(self, said)

    def _chat(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self._caller.confirm()
        asked = model.socket_chat_request(said)
        self._refuse_too_many()
        self._app.services.limits.take_request(self._owner)
        answer = generations.start(self._app.services, asked, self._owner)
        return self._read(answer.join())

    def _rejoin(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self._caller.confirm()
        after = said.get("after", 0)
        if type(after) is not int or not 0 <= after < _LARGEST_NUMBER:
            raise InvalidRequestError("after must be an event's number.", field="after")
        answer_id = _stream_of(said)
        if answer_id not in self._readers:
            self._refuse_too_many()
        return self._read(generations.join(self._app.services, self._owner, answer_id, after))

    def _stop(self, said: Mapping[str, Any]) -> None:
        self._caller.confirm()
        generations.end(self._app.services, self._owner, _stream_of(said))

    def _subscribe(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self._caller.confirm()
        if self._subscription is None:
            notifications = self._app.services.notifications
            self._subscription = notifications.subscribe(self._owner, self._websocket.wake)
        return {"type": "subscribed"}

    def _ping(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "pong"}

    _ORDERS: Mapping[str, Callable[["Dialogue", Mapping[str, Any]], dict[str, Any] | None]] = {
        "chat": _chat,
        "rejoin": _rejoin,
        "stop": _stop,
        "subscribe": _subscribe,
        "ping": _ping,
    }

    def _refuse_too_many(self) -> None:
        if len(self._readers) >= MAX_STREAMS:
            raise SaturatedError(f"A connection reads at most {MAX_STREAMS} answers at once.")

    def _read(self, reader: AnswerReader) -> dict[str, Any]:
        answer_id = reader.answer.answer_id
        self._leave(answer_id)  # who joins again wants to go on from there only
        self._readers[answer_id] = reader
        return {"type": "started", "stream": answer_id}

    # --- what there is to say ---

    def _outgoing(self) -> list[bytes]:
        outgoing: list[bytes] = []
        for stream_id, reader in list(self._readers.items()):
            if stream_id not in self._asleep:
                outgoing += self._events(stream_id, reader)
        if self._subscription is not None:
            outgoing += [
                b'{"type":"notification","notification":%b}' % notification
                for notification in self._subscription.take()
            ]
        return outgoing

    def _events(self, stream_id: str, reader: AnswerReader) -> list[bytes]:
        first = reader.number + 1
        # Before it is asked: the wake-up may come before the answer "nothing yet".
        self._asleep.add(stream_id)
        try:
            events = reader.poll(partial(self._wake, stream_id))
        except StreamGapError as gap:
            self._leave(stream_id)
            cut = {"type": "error", "stream": stream_id, "error": report(gap)}
            return [orjson.dumps(cut), _done(stream_id)]
        if events is None:
            return []
        self._asleep.discard(stream_id)
        frames = [
            event_frame(stream_id, number, event) for number, event in enumerate(events, first)
        ]
        if reader.has_ended:
            self._leave(stream_id)
            frames.append(_done(stream_id))
        return frames

    def _wake(self, stream_id: str) -> None:
        self._asleep.discard(stream_id)
        self._websocket.wake()

    def _leave(self, stream_id: str) -> None:
        self._asleep.discard(stream_id)
        reader = self._readers.pop(stream_id, None)
        if reader is not None:
            reader.close()


def _stream_of(said: Mapping[str, Any]) -> str:
    stream_id = said.get("stream")
    if not isinstance(stream_id, str):
        raise InvalidRequestError("stream must be an answer's id.", field="stream")
    return stream_id


def _done(stream_id: str) -> bytes:
    return orjson.dumps({"type": "done", "stream": stream_id})
