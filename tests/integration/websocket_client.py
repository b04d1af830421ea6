"""Talks over `/ws`, for the tests."""

import json
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


class Talk:
    """A client's side."""

    def __init__(self, socket):
        self.socket = socket

    def say(self, **message):
        self.socket.send(json.dumps(message))

    def hear(self):
        return self.parsed(self.socket.recv(60))

    @staticmethod
    def parsed(message):
        return json.loads(message)

    def hear_until(self, kind):
        heard = [self.hear()]
        while heard[-1]["type"] != kind:
            heard.append(self.hear())
        return heard

    def until_text(self):
        heard = [self.hear()]
        while heard[-1].get("event", {}).get("type") != "text-delta":
            heard.append(self.hear())
        return heard

    def ask(self, **message):
        self.say(**message)
        return self.hear()


@contextmanager
def talking(url, **options):
    address = urlsplit(url).netloc
    # The client's own pings would hide what ours are for.
    options = {"ping_interval": None, "open_timeout": 60, **options}
    with connect(f"ws://{address}/ws", **options) as client:
        yield Talk(client)


def refusal(url, **headers):
    with pytest.raises(InvalidStatus) as refused, talking(url, additional_headers=headers):
        pass
    return refused.value.response
