"""Reads live answers off the wire, for the tests."""

import http.client
import json
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

SOON_S = 60.0


class Reading:
    """One reader's connection; its events as pairs of number and event."""

    def __init__(self, connection, response):
        self.response = response
        self.connection = connection
        self.stream_id = response.getheader("X-Generation-Id")
        self.heartbeats = 0
        self.is_done = False

    def __iter__(self):
        number = None
        for line in iter(self.response.readline, b""):
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name == b"id":
                number = int(value)
            elif name == b"data" and value == b"[DONE]":
                self.is_done = True
            elif name == b"data":
                yield number, json.loads(value)
            elif line.startswith(b":"):
                self.heartbeats += 1

    def until(self, kind):
        """The events up to the first of this kind."""
        taken = []
        for number, event in self:
            taken.append((number, event))
            if event["type"] == kind:
                return taken
        raise AssertionError(f"no {kind} in {taken}")

    def until_text(self, wanted, taken=()):
        """The events, those already `taken` included, up to the end of the text `wanted`."""
        taken, events = list(taken), iter(self)
        while text_of(taken) != wanted:
            taken.append(next(events))
        return taken


def text_of(events):
    return "".join(event["delta"] for _, event in events if event["type"] == "text-delta")


def kinds_of(events):
    return [event["type"] for _, event in events]


@contextmanager
def reading(url, path="/api/llm/stream", headers=(), **said):
    """Begin an answer with `message=…`, or read the one at `path`."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SOON_S)
    try:
        if said:
            body = json.dumps(said).encode()
            connection.request("POST", path, body, dict(headers))
        else:
            connection.request("GET", path, headers=dict(headers))
        # The last one on a connection holds the socket itself, which only its own end closes.
        with closing(connection.getresponse()) as response:
            yield Reading(connection, response)
    finally:
        connection.close()


@contextmanager
def rejoining(url, stream_id, after=None):
    """Join an answer after an event."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with reading(url, f"/api/generations/{stream_id}/events", headers) as reader:
        yield reader


def post(url, path, said=None, headers=()):
    """Status and reply."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=SOON_S)) as connection:
        connection.request("POST", path, json.dumps(said or {}).encode(), dict(headers))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
