"""One process's chats on a real database and a real model server, and readers of their answers."""

import contextlib
import functools
import time

import orjson

from xwe.core.nlp.call_path import PhaseLimits
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.llm_client import LLMClient
from xwe.core.nlp.retry import RetryPolicy
from xwe.services.chats.service import Chats
from xwe.services.chats.values import ChatTimes
from xwe.storage.database import Database
from xwe.storage.repositories import characters, conversations, generations, messages, users
from xwe.streams.answers import Answers
from xwe.streams.notifications import Notifications

ROLE = "孙悟空"
SOON_S = 60.0
# Looks so often that no test waits for them, and limits that no busy machine comes up against.
QUICK = ChatTimes(lease_s=600.0, snapshot_s=0.05, reap_s=0.05, follow_s=0.05, answer_s=SOON_S)


class Side:
    """One process's chats, with what they stand on; several stand for several processes."""

    def __init__(self, url, model, times, **options):
        self.database = Database(url, timeout_s=options.pop("timeout_s", 15.0))
        self.client = LLMClient(
            "key",
            model.base_url + "/chat/completions",
            transport="aiohttp",
            policy=ClientPolicy(
                retry=RetryPolicy(max_attempts=1),
                phases=PhaseLimits(idle_s=options.pop("idle_s", 30.0)),
            ),
        )
        self.answers = options.pop("answers", None) or Answers()
        self.notifications = Notifications()
        self.chats = Chats(
            self.database, self.client, self.answers, self.notifications, times=times, **options
        )

    def user(self, name="ada", role=ROLE, **fields):
        """A user with a character; the user's id."""
        with self.database.write() as writing:
            user = users.create(writing, username=name, password_hash="-")
            characters.create(writing, user_id=user.id, name=role, **fields)
        return user.id

    def rows(self, user_id, role=ROLE):
        """All messages of the chat, variants included, in the order of writing."""
        with self.database.read() as reading:
            character = characters.get(reading, user_id, role)
            conversation = conversations.with_character(reading, user_id, character.id)
            if conversation is None:
                return []
            shown = messages.page(reading, conversation.id, limit=2000).messages
            found = {
                variant.id: variant
                for message in shown
                for variant in messages.variants(reading, conversation.id, message.id)
            }
        return sorted(found.values(), key=lambda message: message.seq)

    def statuses(self, user_id):
        return [(row.sender_type, row.status, row.content) for row in self.rows(user_id)]

    def generation(self, user_id, generation_id):
        with self.database.read() as reading:
            return generations.get(reading, user_id, generation_id)

    @contextlib.contextmanager
    def impatient(self):
        """Meanwhile nobody waits long for a lock: at other times a busy machine may need it."""
        write = self.database.write
        self.database.write = functools.partial(write, patience_s=0.2)
        try:
            yield
        finally:
            self.database.write = write

    def wait_until_free(self):
        """Until no answer is made: a place is given back a moment after its answer's end."""
        wait_until(lambda: not self.answers.running)

    def close(self):
        self.chats.close()
        self.answers.shut_down()
        self.client.cleanup()
        self.database.close()


def wait_until(holds):
    """For what nobody tells of."""
    ends_at = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def read_all(answer, after=0):
    """An answer's events to its end."""
    return read_on(answer.join(after))


def read_on(reader):
    """The rest of the events, to the end."""
    events = []
    with contextlib.closing(reader):
        while not reader.has_ended:
            events += map(orjson.loads, reader.drain(SOON_S))
    return events


def read_until(answer, wanted):
    """The text of an answer, as soon as it is `wanted`."""
    reader, text = answer.join(0), ""
    with contextlib.closing(reader):
        while text != wanted:
            assert wanted.startswith(text), text
            text += text_of(map(orjson.loads, reader.drain(SOON_S)))
    return text


def text_of(events):
    return "".join(event["delta"] for event in events if event["type"] == "text-delta")


def kinds_of(events):
    return [event["type"] for event in events]
