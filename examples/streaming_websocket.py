"""One WebSocket, two answers at once: the application's own `/ws`, read by a small client.

The client disconnects in the middle of an answer, reconnects, and asks for the events after the
last one it saw. No event is lost or repeated. Needs `xwe[app]`.
"""

import json
import os
import secrets

from any_model import any_model
from ten_users import served
from websockets.sync.client import ClientConnection, connect

from xwe.settings import load_settings
from xwe.web import create_app

TOKEN = secrets.token_urlsafe()
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def say(socket: ClientConnection, **message: object) -> None:
    """Send one JSON message."""
    socket.send(json.dumps(message))


def hear(socket: ClientConnection) -> dict:
    """Receive one JSON message."""
    return json.loads(socket.recv(timeout=20))


def text_of(message: dict) -> str:
    """The piece of text in an `event`, if there is one."""
    return message.get("event", {}).get("delta", "")


if __name__ == "__main__":
    with (
        any_model(latency_s=0.2, tokens_per_s=80, length=40),
        served(create_app(load_settings({**os.environ, "XWE_API_TOKEN": TOKEN}))) as address,
    ):
        url = address.replace("http", "ws") + "/ws"
        with connect(url, additional_headers=HEADERS) as socket:
            questions = {"poem": "写一首诗", "joke": "Tell me a joke"}
            for name, question in questions.items():
                say(socket, type="chat", id=name, message=question)
            streams, seen, text = {}, 0, ""
            # Until the first words of the poem; then disconnect.
            while not text or len(streams) < len(questions):
                message = hear(socket)
                if message["type"] == "started":
                    streams[message["id"]] = message["stream"]
                elif (
                    not text
                    and message["type"] == "event"
                    and message["stream"] == streams.get("poem")
                ):
                    seen, text = message["number"], text_of(message)
        print(f"hung up after event {seen}: {text!r}")

        with connect(url, additional_headers=HEADERS) as socket:
            say(socket, type="rejoin", stream=streams["poem"], after=seen)
            numbers = []
            while (message := hear(socket))["type"] != "done":
                if message["type"] == "event":
                    numbers.append(message["number"])
                    text += text_of(message)
        whole = numbers == list(range(seen + 1, numbers[-1] + 1))
        print(f"came back: events {numbers[0]} to {numbers[-1]}, none missing: {whole}")
        print(f"the end: {text[-30:]!r}")
