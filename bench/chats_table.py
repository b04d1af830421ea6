"""A stored turn of chat: signed in, two rows in SQLite, the model between two transactions."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from processes import cpu_s, run_json, upstream
from scale import Scale
from table import Goal, Table, figure, verdicts
from web_servers import XWE, RunningServer, running

from xwe.services.accounts import Accounts
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.repositories import characters

MODEL_LATENCY_MS = 1000
FEW, MANY = 10, 200
WARM_UP_S = 3.0
ROLE = "Holmes"
PATH = f"/api/chat/{ROLE}/messages"
BODY = json.dumps({"content": "What do you see?"})

MEDIAN_GOAL, P99_GOAL, CPU_GOAL = Goal(1.10, "s"), Goal(1.5, "s", 1), Goal(4.0, "ms", 1)
TEN_USERS_GOAL = Goal(1.1, "s", 1)


@dataclass(frozen=True)
class Crowd:
    """Users with an account and a character each, and the file of their requests."""

    database_url: str
    requests: Path


@contextmanager
def crowd() -> Iterator[Crowd]:
    with tempfile.TemporaryDirectory() as folder:
        url, requests = f"sqlite:///{folder}/xwe.db", Path(folder, "requests")
        upgrade(url)
        with (
            closing(Database(url)) as database,
            closing(Accounts(database, signup_is_open=True)) as accounts,
            requests.open("w", encoding="utf-8") as lines,
        ):
            for number in range(MANY):
                user = accounts.register(f"user{number}", "a long password")
                with database.write() as writing:
                    characters.create(writing, user_id=user.account.id, name=ROLE, language="en")
                headers = {"Cookie": f"xwe_session={user.secret}", "Sec-Fetch-Site": "same-origin"}
                lines.write(json.dumps([PATH, headers]) + "\n")
        yield Crowd(url, requests)


def chats_tables(scale: Scale) -> list[Table]:
    table = Table(
        "A stored turn of chat",
        ("load", "users", "median, s", "p99, s", "most, s", "CPU, ms", "failed", "goal"),
        intro=(
            "One worker, SQLite; the model takes 1 s. Every user is signed in and has a chat of "
            "their own; a turn stores two rows in two transactions, and none is open while the "
            f"model is asked. A burst is the median of {scale.bursts}, everybody at the same "
            "instant; in the loop everybody keeps one connection and asks again at once. CPU is "
            "the server's, arbiter included, for each turn."
        ),
    )
    with crowd() as people, upstream(latency_ms=MODEL_LATENCY_MS) as model:
        server = replace(
            XWE,
            name="xwe, stored turn",
            variables={
                **XWE.variables,
                "XWE_DATABASE_URL": people.database_url,
                "XWE_USER_RPM": "1000000",
            },
        )
        with running(server, model) as subject:
            for users in (FEW, MANY):
                bursts = [_load(subject, people, "burst", users) for _ in range(scale.bursts)]
                table.add(*_row("burst", users, bursts))
            arguments = ["--warm-up", str(WARM_UP_S), "--seconds", str(2 * scale.loop_s)]
            table.add(*_row("loop", MANY, [_load(subject, people, "loop", MANY, *arguments)]))
    return [table]


def _load(
    subject: RunningServer, people: Crowd, mode: str, users: int, *more: str
) -> dict[str, Any]:
    used = cpu_s(subject.pid)
    arguments = [mode, str(subject.port), PATH, "--users", str(users), "--body", BODY]
    load = run_json("load.py", *arguments, "--requests", str(people.requests), *more)
    load["cpu_ms"] = 1000 * (cpu_s(subject.pid) - used) / max(1, load["answered"])
    load["failures"] = load["not_200"] + sum(load["errors"].values()) + load["unanswered"]
    return load


def _row(mode: str, users: int, loads: list[dict[str, Any]]) -> list[str]:
    median_s, p99_s, most_s, cpu_ms = (
        _middle(loads, name) for name in ("median_s", "p99_s", "max_s", "cpu_ms")
    )
    failures = sum(load["failures"] for load in loads)
    goals: list[tuple[Goal, float | None]] = []
    if users == FEW:
        goals = [(TEN_USERS_GOAL, most_s)]
    elif mode == "loop":
        goals = [(MEDIAN_GOAL, median_s), (P99_GOAL, p99_s), (CPU_GOAL, cpu_ms)]
    # A goal is not met by refusing: nothing that failed anyone counts.
    judged = verdicts(*((goal, None if failures else value) for goal, value in goals))
    figures = [figure(value) for value in (median_s, p99_s, most_s, cpu_ms)]
    return [mode, str(users), *figures, str(failures), judged]


def _middle(loads: list[dict[str, Any]], name: str) -> float | None:
    known = [load[name] for load in loads if load[name] is not None]
    return median(known) if known else None
