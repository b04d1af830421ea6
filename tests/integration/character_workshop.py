"""A workshop: database, model client, runner and the services that make characters."""

import contextlib

import orjson

from xwe.core.nlp.llm_client import LLMClient
from xwe.jobs.attempt import AttemptTimes
from xwe.jobs.in_process import InProcessRunner
from xwe.jobs.rows import JobRows
from xwe.mock import Behaviour
from xwe.mock.rules import Rule
from xwe.services.characters.generation import CharacterGeneration
from xwe.services.characters.service import Characters, NewCharacter
from xwe.services.limits import Limits
from xwe.services.task_watch import FINAL_STATUSES
from xwe.services.tasks import TaskNotifier, Tasks
from xwe.storage.database import Database
from xwe.storage.database_threads import close_database_threads
from xwe.storage.repositories import users
from xwe.streams.notifications import Notifications

SOON_S = 60.0
QUICK = {"poll_s": 0.05, "times": AttemptTimes(check_s=0.05, backoff_s=0.05)}


def about(*words):
    """Whether a request's question has these words in its first line."""

    def is_about(body):
        asked = [each["content"] for each in body["messages"] if each["role"] == "user"]
        first_line = asked[0].partition("\n")[0] if asked else ""
        return all(word in first_line for word in words)

    return is_about


def fails_for(*words, **fault):
    """The rule under which the model fails for a question with these words."""
    return Rule(about(*words), Behaviour(**(fault or {"fault": "status", "status": 400})))


class Workshop:
    """Makes characters for one user, Ada, with a runner of its own."""

    def __init__(self, url, model, encyclopaedias=None):
        self.model = model
        self.database = Database(url)
        with self.database.write() as writing:
            self.ada = users.create(writing, username="ada", password_hash="-").id
        self.client = LLMClient(
            "key", model.base_url + "/chat/completions", "mock", transport="aiohttp"
        )
        notifications = Notifications()
        self._rows = JobRows(self.database, TaskNotifier(notifications))
        self._generation = CharacterGeneration(
            self.database, self.client, encyclopaedias=encyclopaedias
        )
        self.runner = self._new_runner()
        limits = Limits()
        self.tasks = Tasks(self.database, notifications, wake=self._wake, limits=limits)
        self.characters = Characters(self.database, self.tasks, limits)

    def _wake(self):
        self.runner.wake()  # whichever it is by now

    def another_runner(self):
        """The runner of a process that comes after this one."""
        self.runner.close()
        self.runner = self._new_runner()
        self.runner.start()

    def _new_runner(self):
        return InProcessRunner(self._rows, self._generation.handlers, **QUICK)

    def make(self, role="孙悟空", text="孙悟空从石头里出生。", **fields):
        """A character's task."""
        asked = NewCharacter(role, fields.pop("source", "text"), text, **fields)
        return self.characters.create(self.ada, asked).task_id

    def sheet(self, role="孙悟空"):
        return self.characters.sheet(self.ada, role).character

    def until(self, task_id, holds):
        """The task's first state for which `holds(task)`."""
        task = None
        with contextlib.closing(self.tasks.watch(self.ada, task_id)) as reader:
            while states := reader.drain(SOON_S):
                for task in map(orjson.loads, states):
                    if holds(task):
                        return task
        raise AssertionError(task)

    def ended(self, task_id):
        return self.until(task_id, lambda task: task["status"] in FINAL_STATUSES)

    def close(self):
        self.runner.close()
        self.tasks.drain()
        self.client.cleanup()
        self.database.close()
        close_database_threads()
