"""Servers, people and readers for the recorded streams; each reader says what it saw."""

import http.client
import json
import signal
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from chat_person import Person
from event_source import EventSource
from stream_client import post
from transcript import Transcript
from websocket_client import talking

from xwe.storage.repositories import characters, conversations, generations, messages

SHOWN_HEADERS = (
    "Content-Type",
    "Cache-Control",
    "X-Accel-Buffering",
    "x-vercel-ai-ui-message-stream",
)
SOON_S = 60


class World:
    """One scenario's surroundings."""

    def __init__(self, name, server, model, database, held_until):
        self.transcript = Transcript(name)
        self.server, self.model, self.database = server, model, database
        self._held_until = held_until
        self._name = name

    def person(self, **fields):
        """Somebody with a character, whose name nobody else has."""
        return Person(self.server.url, self.database, name=f"who-{self._name}"[:30], **fields)

    def let_go(self, name):
        """Let the tool `held` end its call of that name."""
        self._held_until.joinpath(name).touch()

    def drain(self):
        """Tell the server to end, which ends what still runs."""
        self.server.process.send_signal(signal.SIGTERM)

    @contextmanager
    def opened(self, title, path, said=None, headers=(), method=None):
        """A request; what is read of it stands under the title in the transcript."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=SOON_S)
        with closing(connection):
            body = None if said is None else json.dumps(said).encode()
            connection.request(
                method or ("GET" if said is None else "POST"),
                path,
                body,
                {"Sec-Fetch-Site": "same-origin", **dict(headers)},
            )
            with closing(connection.getresponse()) as response:
                yield Reader(self.transcript, title, response)

    def read(self, title, path, said=None, headers=(), method=None):
        """A request, read to its end; its generation's id."""
        with self.opened(title, path, said, headers, method) as reader:
            reader.rest()
        return reader.answer_id

    def wait_until_forgotten(self, answer_id, headers):
        """Until the answer is in the database alone: its replay knows no question."""
        path = f"/api/generations/{answer_id}/events"
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=SOON_S)
        with closing(connection):
            events = b""
            while b'"user_message_id":null' not in events:
                connection.request(
                    "GET", path, headers={"Sec-Fetch-Site": "same-origin", **headers}
                )
                with closing(connection.getresponse()) as response:
                    events = response.read()

    def read_plainly(self, title, person, content):
        """The compatible stream, as a browser's EventSource takes it in."""
        path = person.path("stream") + f"?content={content}"
        source = EventSource()
        with self.opened(title, path, headers={"Cookie": person.cookie}) as reader:
            source.feed(reader.response.read())
        errors = [event.data for event in source.events if event.kind == "error"]
        self.transcript.say(
            title,
            f"text: {source.text!r}\nkinds: {source.kinds}\nerrors: {errors}\n"
            f"characters: {source.last_event_id.rpartition(':')[2]}",
        )

    def talk(self, **options):
        """A WebSocket."""
        return talking(self.server.url, **options)

    def stop(self, answer_id, headers=()):
        """Stop an answer."""
        given = {"Sec-Fetch-Site": "same-origin", **dict(headers)}
        assert post(self.server.url, f"/api/generations/{answer_id}/stop", {}, given)[0] == 200

    def rows(self, person):
        """The rows of the person's chat, as they are in the end."""
        with self.database.read() as reading:
            character = characters.get(reading, person.id, person.role)
            conversation = conversations.with_character(reading, person.id, character.id)
            page = messages.page(reading, conversation.id, limit=100).messages
            found = {
                variant.id: variant
                for message in page
                for variant in messages.variants(reading, conversation.id, message.id)
            }
            lines = []
            for row in sorted(found.values(), key=lambda each: each.seq):
                original = row.variant_of and found[row.variant_of].seq
                generation = row.generation_id and generations.get(
                    reading, person.id, row.generation_id
                )
                lines.append(
                    f"{row.seq} {row.sender_type} {row.status} selected={row.selected} "
                    f"variant_of={original} client_id={row.client_id} error={row.error_code} "
                    f"usage={row.usage} generation={generation and generation.status} "
                    f"{row.content!r}"
                )
        self.transcript.say("rows", "\n".join(lines))


class Reader:
    """One response, and what was read of it."""

    def __init__(self, transcript, title, response):
        self.response = response
        self.answer_id = response.getheader("X-Generation-Id")
        self.text = ""
        self._transcript, self._title = transcript, title

    def until(self, wanted):
        """Read until this has come."""
        while wanted not in self.text:
            line = self.response.readline()
            assert line, self.text
            self.text += line.decode()
        return self

    def rest(self):
        """Read to the end, and write it all down."""
        try:
            self.text += self.response.read().decode()
            end = ""
        except http.client.IncompleteRead as cut:
            self.text += cut.partial.decode()
            end = "\n(cut off)"
        head = [f"{self.response.status}"]
        head += [
            f"{name}: {self.response.getheader(name)}"
            for name in SHOWN_HEADERS
            if self.response.getheader(name)
        ]
        comments = ("\n".join(head) + "\n\n" + self.text + end).split(": still here\n\n")
        self._transcript.say(self._title, "".join(comments))
