"""Somebody with an account and a character, who chats over HTTP with a real server."""

import http.client
import json
from contextlib import closing, contextmanager
from urllib.parse import quote, urlsplit

from stream_client import Reading

from xwe.storage.repositories import characters, users

SLOW_S = 60


class Person:
    """Signed up at a server, with a character made in its database by hand."""

    def __init__(self, url, database, name="ada", role="孙悟空", **fields):
        self.url, self.role = url, role
        self.cookie = None
        status, body, headers = self.ask(
            "POST", "/auth/register", {"username": name, "password": "a long password"}
        )
        assert status == 200, body
        self.cookie = headers["Set-Cookie"].partition(";")[0]
        self.id = body["user"]["id"]
        with database.write() as writing:
            assert users.by_id(writing, self.id).username == name
            characters.create(writing, user_id=self.id, name=role, **fields)

    def at(self, url):
        """The same person at another server of the same site."""
        other = object.__new__(Person)
        other.__dict__ |= self.__dict__ | {"url": url}
        return other

    def path(self, rest, role=None):
        return f"/api/chat/{quote(role or self.role)}/{rest}"

    @contextmanager
    def opened(self, method, path, said=None, headers=()):
        """The response, while it is read."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=SLOW_S)
        try:
            given = {"Sec-Fetch-Site": "same-origin", **dict(headers)}
            if self.cookie:
                given["Cookie"] = self.cookie
            body = None if said is None else json.dumps(said).encode()
            connection.request(method, path, body, given)
            with closing(connection.getresponse()) as response:
                yield Reading(connection, response)
        finally:
            connection.close()

    def ask(self, method, path, said=None, headers=()):
        """Status, JSON and headers."""
        with self.opened(method, path, said, headers) as reading:
            text = reading.response.read()
            return reading.response.status, json.loads(text or b"null"), reading.response.headers

    def say(self, content, key=None):
        """The whole answer; status and JSON."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.ask("POST", self.path("messages"), {"content": content}, headers)[:2]

    def streaming(self, content, **more):
        return self.opened("POST", self.path("stream"), {"content": content, **more})

    def rejoining(self, generation_id, after=None):
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        return self.opened("GET", f"/api/generations/{generation_id}/events", None, headers)

    def messages(self, query=""):
        """What the page shows."""
        status, body, _ = self.ask("GET", self.path("messages") + query)
        assert status == 200, body
        return body["messages"]
