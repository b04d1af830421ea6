"""A drill: SIGKILL at random moments under ten writers, and what is in the database afterwards.

    python bench/drills/crash.py [--kills 50] [--seed 1] [--database postgresql://...]

Half of the kills hit a worker (its master starts another), the others the master and its worker
at once, and the server is started anew. Each writer says one thing after another to a character
of its own, half of them streamed, and repeats each under its idempotency key until it has the
end of an answer. Beside them characters are made, one job after another.

Fails unless, when all has come to rest: no acknowledged message is lost, no turn is there twice,
no row is stuck, and every character that was acknowledged has been made once.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xwe.mock import Behaviour, MockServer
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.records import Message
from xwe.storage.repositories import characters, conversations, jobs, messages

WRITERS = 10
# Long enough that most kills find answers in the making.
ANSWER = Behaviour(length=40, tokens_per_s=60)
CALM_S = (0.3, 2.5)  # between two kills
PATIENCE_S = 30.0
REST_WITHIN_S = 90.0
MAKER = WRITERS
PASSWORD = "not a secret"  # noqa: S105 - of a server that lives for a minute
# What a person would wait for is shrunk; a job's lease is left as it is.
SETTINGS = {
    "XWE_CHAT_LEASE": "3",
    "XWE_CHAT_REAP": "1",
    "XWE_SIGNUP": "open",
    "XWE_USER_RPM": "100000",
    "XWE_USER_JOBS": "1000",
    "XWE_USER_CHARACTERS": "1000000",
    "LLM_BREAKER_FAILURES": "1000",
}
# A crash is met as one of these, and the request is sent again.
BROKEN = (OSError, http.client.HTTPException, json.JSONDecodeError)


class Server:
    """The application, started again after each death, on the same port."""

    def __init__(self, environ: dict[str, str], directory: Path) -> None:
        self._environ = environ
        self._directory = directory
        self._log = (directory / "log").open("ab")
        self.port = 0
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it says where it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "xwe.cli", "run", "--port", str(self.port)],
            cwd=self._directory,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        said = re.search(r"http://[\d.]+:(\d+)", self._process.stdout.readline())
        if said is None:
            raise RuntimeError((self._directory / "log").read_text()[-3000:])
        self.port = int(said[1])

    def _workers(self) -> list[int]:
        pid = self._process.pid
        return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill_worker(self) -> None:
        """Only those who serve; their master starts others."""
        for pid in self._workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """The machine's power is gone; and back."""
        workers = self._workers()
        self._process.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self.begin()

    def close(self) -> None:
        """End it as an operator would."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        self._log.close()


@dataclass
class Caller:
    """A user who does not give up.

    Attributes:
        acknowledged: what the server has said yes to.
        repeats: how often something had to be sent again.
    """

    server: Server
    stop: threading.Event
    name: str
    user_id: int = 0
    cookie: str = ""
    acknowledged: list[str] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    repeats: int = 0

    @contextlib.contextmanager
    def asking(
        self, path: str, body: dict, headers: dict | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """One request, with its response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)
        try:
            known = {"Cookie": self.cookie, "Sec-Fetch-Site": "same-origin"}
            connection.request("POST", path, json.dumps(body), known | (headers or {}))
            yield connection.getresponse()
        finally:
            connection.close()

    def register(self) -> None:
        """Make an account; once, before the first kill."""
        body = {"username": self.name, "password": PASSWORD}
        with self.asking("/auth/register", body) as response:
            said = response.read()
            assert response.status in {200, 201}, said
            self.user_id = json.loads(said)["user"]["id"]
            self.cookie = response.getheader("Set-Cookie").partition(";")[0]

    def write(self) -> None:
        """Say one thing after another."""
        number = 0
        while not self.stop.is_set():
            number += 1
            content = f"{self.name} says {number}"
            say = self._stream if number % 2 else self._ask
            self._until_done(lambda key, say=say, content=content: say(content, key))

    def make_characters(self) -> None:
        """Have one character made after another."""
        number = 0
        while not self.stop.is_set():
            number += 1
            self._until_done(lambda _, role=f"figure {number}": self._make(role))
            self.stop.wait(1)

    def _until_done(self, act) -> None:
        key = secrets.token_hex(8)
        while True:
            with contextlib.suppress(*BROKEN):
                if act(key):
                    return
            self.repeats += 1
            time.sleep(0.1)

    def _ask(self, content: str, key: str) -> bool:
        path = f"/api/chat/{self.name}/messages"
        with self.asking(path, {"content": content}, {"Idempotency-Key": key}) as response:
            response.read()
            if response.status == 200:
                self.acknowledged.append(content)
            return response.status == 200

    def _stream(self, content: str, key: str) -> bool:
        path = f"/api/chat/{self.name}/stream"
        with self.asking(path, {"content": content, "client_id": key}) as response:
            if response.status != 200:
                response.read()
                return False
            self.acknowledged.append(content)  # the turn is stored before the head is sent
            return any(line == b"data: [DONE]\n" for line in response)

    def _make(self, role: str) -> bool:
        body = {"role": role, "source": "text", "text": f"{role} is brave.", "language": "en"}
        with self.asking("/api/characters", body) as response:
            said = json.loads(response.read())
            if response.status == 202:
                self.acknowledged.append(role)
                self.tasks.append(said["task_id"])
            # The request before has been heard, and only its answer was lost.
            return response.status in {202, 409}


def callers_of(server: Server, database: Database, stop: threading.Event) -> list[Caller]:
    """Ten writers, each with a character, and the one who makes characters."""
    callers = [Caller(server, stop, f"writer{number}") for number in range(WRITERS)]
    callers.append(Caller(server, stop, "maker"))
    for caller in callers:
        caller.register()
    with database.write() as writing:
        for caller in callers[:MAKER]:
            characters.create(writing, user_id=caller.user_id, name=caller.name)
    return callers


def kill_at_random(server: Server, kills: int, dice: random.Random) -> Counter:
    """How often what was killed."""
    killed = Counter()
    for number in range(1, kills + 1):
        time.sleep(dice.uniform(*CALM_S))
        kind = dice.choice(["kill_worker", "kill_all"])
        getattr(server, kind)()
        killed[kind] += 1
        print(f"{number:3} {kind}", flush=True)
    return killed


def shown_messages(database: Database, caller: Caller) -> list[Message]:
    """All of the writer's conversation."""
    shown, before_seq, has_more = [], None, True
    with database.read() as reading:
        character = characters.get(reading, caller.user_id, caller.name)
        chat = conversations.with_character(reading, caller.user_id, character.id)
        while chat is not None and has_more:
            page = messages.page(reading, chat.id, before_seq=before_seq, limit=200)
            shown = [*page.messages, *shown]
            has_more = page.has_more
            before_seq = shown[0].place if shown else None
    return shown


def count_stuck(database: Database, callers: list[Caller]) -> int:
    """Answers and jobs that have not come to an end."""
    stuck = sum(
        message.status not in messages.FINAL_STATUSES
        for caller in callers[:MAKER]
        for message in shown_messages(database, caller)
    )
    with database.read() as reading:
        for state in ("queued", "running"):
            stuck += len(jobs.listed(reading, state=state, limit=1000))
    return stuck


def wait_for_rest(database: Database, callers: list[Caller]) -> float:
    """How long the last kill's traces were there."""
    begun = time.monotonic()
    while count_stuck(database, callers) and time.monotonic() < begun + REST_WITHIN_S:
        time.sleep(0.5)
    return time.monotonic() - begun


def judge(database: Database, callers: list[Caller]) -> dict[str, int]:
    """What went wrong, counted."""
    wrong = Counter(lost=0, doubled=0, unanswered=0, stuck=count_stuck(database, callers))
    for caller in callers[:MAKER]:
        shown = shown_messages(database, caller)
        said = Counter(it.content for it in shown if it.sender_type == "user")
        answers = sum(it.sender_type == "character" for it in shown)
        wrong["lost"] += len(set(caller.acknowledged) - set(said))
        wrong["doubled"] += sum(count - 1 for count in said.values())
        wrong["doubled"] += max(0, answers - len(said))
        wrong["unanswered"] += max(0, len(said) - answers)
    maker = callers[MAKER]
    with database.read() as reading:
        names = Counter(it.name for it in characters.summaries(reading, maker.user_id))
        ended = Counter(jobs.by_id(reading, task).state for task in maker.tasks)
    wrong["characters lost"] = len(set(maker.acknowledged) - set(names))
    wrong["characters twice"] = sum(count - 1 for count in names.values())
    wrong["jobs not done"] = ended.total() - ended["done"]
    return dict(wrong)


def drill(url: str, kills: int, seed: int, model: MockServer, directory: Path) -> None:
    """Run it."""
    upgrade(url)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": model.base_url}
    server = Server(kept | SETTINGS | provider | {"XWE_DATABASE_URL": url}, directory)
    database, stop = Database(url), threading.Event()
    try:
        callers = callers_of(server, database, stop)
        acts = [caller.write for caller in callers[:MAKER]] + [callers[MAKER].make_characters]
        threads = [threading.Thread(target=act, daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        killed = kill_at_random(server, kills, random.Random(seed))  # noqa: S311 - moments, not keys
        stop.set()
        ends_at = time.monotonic() + REST_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        rested_s = wait_for_rest(database, callers)
        wrong = judge(database, callers)
    finally:
        database.close()
        server.close()
    said = sum(len(set(caller.acknowledged)) for caller in callers[:MAKER])
    print(f"killed: {dict(killed)}; sent again: {sum(caller.repeats for caller in callers)} times")
    print(f"acknowledged: {said} messages, {len(callers[MAKER].tasks)} characters")
    print(f"at rest {rested_s:.1f} s after the last writer")
    print(f"wrong: {wrong}")
    assert said > kills, "the writers hardly came to speak"
    assert not any(thread.is_alive() for thread in threads), "a writer never got its answer"
    assert not any(wrong.values()), wrong


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="an empty one; a new SQLite file unless given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, MockServer(behaviour=ANSWER) as model:
        url = given.database or f"sqlite:///{place}/xwe.db"
        drill(url, given.kills, given.seed, model, Path(place))


if __name__ == "__main__":
    main()
