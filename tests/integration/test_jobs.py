"""Jobs in the database: taken up after a death, done once, watched and cancelled from elsewhere."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from xwe.errors import ConflictError, DatabaseUnavailableError, JobLostError, NotFoundError
from xwe.jobs.attempt import AttemptTimes, utc_now
from xwe.jobs.in_process import InProcessRunner
from xwe.jobs.rows import JobRows
from xwe.services.task_watch import TaskWatches
from xwe.services.tasks import TaskNotifier, Tasks
from xwe.storage.database import Database
from xwe.storage.models import job as job_table
from xwe.storage.repositories import jobs, users
from xwe.streams.notifications import Notifications

SOON_S = 60.0
NEVER_S = 3600.0


@pytest.fixture
def url(either_url):
    return either_url


class Process:
    """What one process has: its connections, who listens there, its tasks and its runner."""

    def __init__(self, url, poll_s=0.05, **times):
        self.database = Database(url)
        self.notifications = Notifications()
        self.handlers = {}
        self.runner = InProcessRunner(
            JobRows(self.database, TaskNotifier(self.notifications)),
            self.handlers,
            poll_s=poll_s,
            times=AttemptTimes(**({"check_s": 0.05, "backoff_s": 0.01} | times)),
        )
        self.tasks = Tasks(self.database, self.notifications, wake=self.runner.wake, poll_s=poll_s)

    def queue(self, user, **payload):
        with self.database.write() as writing:
            return self.tasks.queue(writing, kind="build", payload=payload, user_id=user)

    def row(self, job):
        with self.database.read() as reading:
            return jobs.by_id(reading, job)

    def usernames(self):
        with self.database.read() as reading:
            return sorted(user.username for user in users.listed(reading))

    def close(self):
        self.tasks.drain()
        self.runner.close()
        self.database.close()


@pytest.fixture
def process(url):
    """Makes what stands for a process each, on the test's one database."""
    with contextlib.ExitStack() as stack:

        def make(**times):
            made = Process(url, **times)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def here(process):
    return process()


@pytest.fixture
def ada(here):
    with here.database.write() as writing:
        return users.create(writing, username="ada", password_hash="hash").id


@pytest.fixture
def bob(here):
    with here.database.write() as writing:
        return users.create(writing, username="bob", password_hash="hash").id


def views_of(reader):
    """The states that a reader sees to the end."""
    views = []
    with contextlib.closing(reader):
        while events := reader.drain(SOON_S):
            views += [orjson.loads(event) for event in events]
    return views


def last_view(process, user, job):
    """The task's last state, waited for."""
    return views_of(process.tasks.watch(user, job))[-1]


# Two steps, each an effect with its checkpoint in one transaction; and the end with a third.
STEPS = """
import asyncio
from xwe.storage.repositories import users

def build_with(database, after_step):
    def add_user(writing, name):
        users.create(writing, username=name, password_hash="hash")

    def build(work):
        for step in ("one", "two"):
            if work.detail.get(step) != "done":
                with database.write() as writing:
                    add_user(writing, f"{work.key}-{step}")
                    work.checkpoint(writing, percent=50, message=step, detail={step: "done"})
                after_step(step)
        with database.write() as writing:
            add_user(writing, f"{work.key}-end")
            work.finish(writing, {"attempt": work.attempt})
        after_step("end")

    async def build_in_thread(work):
        await asyncio.to_thread(build, work)

    return build_in_thread
"""

RUN_UNTIL_KILLED = (
    STEPS
    + """
import sys, threading
from xwe.jobs.in_process import InProcessRunner
from xwe.jobs.rows import JobRows
from xwe.storage.database import Database

url, last_step = sys.argv[1:]

def after_step(step):
    if step == last_step:
        print(step, flush=True)
        threading.Event().wait()

database = Database(url)
handlers = {"build": build_with(database, after_step)}
runner = InProcessRunner(JobRows(database, lambda job: None), handlers, poll_s=0.05)
runner.start()
threading.Event().wait()
"""
)


@contextlib.contextmanager
def running(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def build_with():
    names = {}
    exec(STEPS, names)  # noqa: S102 - the very text that the other process runs
    return names["build_with"]


def test_a_killed_process_is_followed_by_another_and_each_effect_happens_once(
    url, here, ada, build_with
):
    job = here.queue(ada)
    here.runner.close()  # only woken above, without handlers: it took nothing
    with running(RUN_UNTIL_KILLED, url, "one") as doomed:
        assert doomed.stdout.readline() == "one\n"
        assert here.row(job).state == "running"
    with here.database.write() as writing:  # nobody prolongs it any more
        writing.execute(job_table.update().values(lease_until=utc_now()))
    other = Process(url, poll_s=0.05)
    try:
        other.handlers["build"] = build_with(other.database, lambda step: None)
        other.runner.start()
        assert last_view(other, ada, job)["result"] == {"attempt": 2}
        assert other.usernames() == ["ada", *(f"job-{job}-{it}" for it in ("end", "one", "two"))]
    finally:
        other.close()


def test_a_process_that_is_killed_right_after_the_end_is_followed_by_nobody(
    url, here, ada, build_with
):
    job = here.queue(ada)
    with running(RUN_UNTIL_KILLED, url, "end") as doomed:
        assert doomed.stdout.readline() == "end\n"
    here.handlers["build"] = build_with(here.database, lambda step: None)
    assert (here.row(job).state, here.row(job).attempts) == ("done", 1)
    with here.database.read() as reading:
        assert not jobs.is_any_due(reading, ["build"], utc_now() + timedelta(minutes=2))


FORK = """
import os, sys, threading
from xwe.jobs.in_process import InProcessRunner
from xwe.jobs.rows import JobRows
from xwe.storage.database import Database
from xwe.storage.repositories import jobs

class Seen(JobRows):
    looked = threading.Event()

    def is_any_due(self, kinds, at):
        try:
            return super().is_any_due(kinds, at)
        finally:
            self.looked.set()

database, done = Database(sys.argv[1]), threading.Event()

async def build(work):
    done.set()
    return {"pid": os.getpid()}

runner = InProcessRunner(Seen(database, lambda job: None), {"build": build}, poll_s=3600)
runner.start()
Seen.looked.wait(60)  # and from now on the parent's looks at nothing
if child := os.fork():
    print(child, flush=True)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with database.write() as writing:
    jobs.create(writing, kind="build", payload={})
    writing.after_commit(runner.wake)
ok = done.wait(60)
runner.close(60)
os._exit(0 if ok else 1)
"""


def test_a_runner_works_in_the_child_of_a_fork(tmp_path, sqlite_template):
    path = shutil.copy(sqlite_template, tmp_path / "xwe.db")
    with running(FORK, f"sqlite:///{path}") as parent:
        child = int(parent.stdout.readline())
        assert parent.wait(SOON_S) == 0
    database = Database(f"sqlite:///{path}")
    with database.read() as reading:
        (job,) = jobs.listed(reading)
    database.close()
    assert job.result == {"pid": child}
    assert job.owner.split(":")[1] == str(child)


def test_two_runners_that_see_the_same_job_at_once_run_it_once(process, here, ada):
    meet, calls = threading.Barrier(2, timeout=SOON_S), []

    class Met(JobRows):
        def is_any_due(self, kinds, at):
            is_due = super().is_any_due(kinds, at)
            if is_due and not meet.broken:
                with contextlib.suppress(threading.BrokenBarrierError):
                    meet.wait()
                    meet.abort()  # once is enough
            return is_due

    async def build(work):
        calls.append(work.attempt)

    job = here.queue(ada)
    rows = Met(here.database, lambda job: None)
    runners = [InProcessRunner(rows, {"build": build}) for _ in range(2)]
    for runner in runners:
        runner.start()
    last_view(here, ada, job)
    for runner in runners:
        runner.close(SOON_S)
    assert calls == [1]
    assert (here.row(job).state, here.row(job).attempts) == ("done", 1)


def test_the_effects_of_a_runner_that_was_followed_are_undone(process, here, ada):
    """Its lease has run out, and it does not know it yet."""
    begun, followed, refused = (threading.Event() for _ in range(3))

    def add_user_and(write, *args, **kwargs):
        with here.database.write() as writing:
            users.create(writing, username="effect", password_hash="hash")
            write(writing, *args, **kwargs)

    def write_late(work):
        begun.set()
        assert followed.wait(SOON_S)
        with pytest.raises(JobLostError):
            add_user_and(work.checkpoint, percent=50, message="")
        with pytest.raises(JobLostError):
            add_user_and(work.finish, "the first's")
        refused.set()

    async def build_late(work):
        await asyncio.shield(asyncio.to_thread(write_late, work))

    async def build(work):
        return "the second's"

    # Whose clock is slow writes leases that are over; nothing else prolongs them here.
    late = process(clock=lambda: utc_now() - timedelta(hours=1), check_s=NEVER_S)
    late.handlers["build"] = build_late
    there = process()
    there.handlers["build"] = build
    with here.database.write() as writing:
        job = jobs.create(writing, kind="build", payload={}, user_id=ada, run_after=_long_ago()).id
    late.runner.start()
    assert begun.wait(SOON_S)
    there.runner.start()
    assert last_view(there, ada, job)["result"] == "the second's"
    followed.set()
    late.runner.close(SOON_S)
    assert refused.wait(SOON_S)
    assert here.usernames() == ["ada"]
    assert here.row(job).result == "the second's"


def _long_ago():
    return datetime.now(UTC) - timedelta(hours=2)


def test_three_failures_park_a_job_with_its_error_until_it_is_retried(here, ada):
    attempts = []

    async def build(work):
        attempts.append(work.attempt)
        if len(attempts) <= 3:
            raise ConnectionError
        return "at last"

    here.handlers["build"] = build
    job = here.queue(ada)
    parked = last_view(here, ada, job)
    assert (parked["status"], parked["attempts"]) == ("error", 3)
    assert str(job) in parked["error"]
    here.tasks.retry(ada, job)
    assert last_view(here, ada, job)["result"] == "at last"
    assert attempts == [1, 2, 3, 1]


def test_only_what_failed_or_was_cancelled_can_be_retried(here, ada, bob):
    job = here.queue(ada)
    with pytest.raises(ConflictError):
        here.tasks.retry(ada, job)
    with pytest.raises(NotFoundError):
        here.tasks.retry(bob, job)
    here.tasks.cancel(ada, job)
    assert here.tasks.retry(ada, job)["status"] == "pending"


def forever(begun):
    async def build(work):
        begun.set()
        await asyncio.Event().wait()

    return build


def test_a_cancel_in_the_same_process_is_heard_at_once(process, ada):
    process = process(poll_s=NEVER_S, check_s=NEVER_S)  # nothing is looked at without a wake-up
    begun = threading.Event()
    process.handlers["build"] = forever(begun)
    job = process.queue(ada)
    assert begun.wait(SOON_S)
    process.tasks.cancel(ada, job)
    assert last_view(process, ada, job)["status"] == "cancelled"
    assert process.row(job).attempts == 1


def test_a_cancel_in_another_process_is_heard_too(process, here, ada):
    begun = threading.Event()
    there = process()
    there.handlers["build"] = forever(begun)
    there.runner.start()
    job = here.queue(ada)
    assert begun.wait(SOON_S)
    here.tasks.cancel(ada, job)
    assert last_view(here, ada, job)["status"] == "cancelled"


def test_a_waiting_job_is_cancelled_without_a_runner(here, ada, bob):
    job = here.queue(ada)
    with pytest.raises(NotFoundError):
        here.tasks.cancel(bob, job)
    assert here.tasks.cancel(ada, job)["status"] == "cancelled"


def told_steps(go_on):
    async def build(work):
        for percent in (25, 75):
            assert await asyncio.to_thread(go_on.acquire, timeout=SOON_S)
            detail = {"one": {"state": "running", "seconds": percent}}
            await work.progress(percent, f"at {percent}", detail)
        assert await asyncio.to_thread(go_on.acquire, timeout=SOON_S)
        return {"role": "李白"}

    return build


@pytest.mark.parametrize("place", ["the same process", "another process"])
def test_who_watches_sees_each_state_to_the_end(process, here, ada, place):
    go_on = threading.Semaphore(0)
    # The one polls only where it has no news.
    same = process(poll_s=NEVER_S)
    worker = same if place == "the same process" else process()
    watching = same if place == "the same process" else here
    worker.handlers["build"] = told_steps(go_on)
    worker.runner.start()
    job = worker.queue(ada)
    reader = watching.tasks.watch(ada, job)
    seen = []
    with contextlib.closing(reader):
        for wanted in (25, 75, 100):
            go_on.release()
            while not seen or seen[-1]["progress"] != wanted:
                seen += [orjson.loads(event) for event in reader.drain(SOON_S)]
        assert reader.drain(SOON_S) == []
        assert reader.has_ended
    half, last = next(it for it in seen if it["progress"] == 25), seen[-1]
    assert (half["status"], half["message"]) == ("running", "at 25")
    assert half["categories"] == {"one": "running"}
    assert half["detail"]["one"]["seconds"] == 25
    assert (last["status"], last["result"]) == ("done", {"role": "李白"})


def test_who_watches_what_has_ended_gets_one_state(here, ada):
    job = here.queue(ada)
    here.tasks.cancel(ada, job)
    assert [view["status"] for view in views_of(here.tasks.watch(ada, job))] == ["cancelled"]


def test_nobody_sees_others_tasks(here, ada, bob):
    job = here.queue(ada)
    for look in (here.tasks.get, here.tasks.watch):
        with pytest.raises(NotFoundError):
            look(bob, job)
    assert here.tasks.listed(bob) == []
    assert [view["id"] for view in here.tasks.listed(ada)] == [job]


def test_who_begins_to_watch_at_the_very_moment_of_a_change_sees_it(process, ada):
    process = process(poll_s=NEVER_S)  # nothing is read without a notification
    job = process.queue(ada)
    read, reads = process.tasks.get, []

    def read_and_cancel(user_id, task_id):
        reads.append(read(user_id, task_id))
        if len(reads) == 1:
            process.tasks.cancel(ada, job)
        return reads[-1]

    watches = TaskWatches(read_and_cancel, process.notifications, NEVER_S)
    assert [view["status"] for view in views_of(watches.begin(ada, job))] == [
        "pending",
        "cancelled",
    ]


def test_a_watch_ends_with_its_reader(here, ada, monkeypatch):
    ended, forget = threading.Event(), here.notifications.forget

    def told_forget(subscription):
        forget(subscription)
        ended.set()

    monkeypatch.setattr(here.notifications, "forget", told_forget)
    reader = here.tasks.watch(ada, here.queue(ada))
    reader.drain(SOON_S)
    reader.close()
    assert ended.wait(SOON_S)


def test_a_watch_ends_with_the_process(here, ada):
    reader = here.tasks.watch(ada, here.queue(ada))
    here.tasks.drain()
    assert views_of(reader)[-1]["status"] == "pending"


def test_a_watch_goes_on_when_the_database_was_away(here, ada):
    job = here.queue(ada)
    is_away, refused, look = threading.Event(), threading.Event(), here.tasks.get

    def get(user_id, task_id):
        if is_away.is_set():
            refused.set()
            raise DatabaseUnavailableError
        return look(user_id, task_id)

    watches = TaskWatches(get, here.notifications, 0.05)
    reader = watches.begin(ada, job)
    is_away.set()
    assert refused.wait(SOON_S)
    here.tasks.cancel(ada, job)
    is_away.clear()
    assert views_of(reader)[-1]["status"] == "cancelled"


def test_the_users_own_listeners_hear_of_a_task(here, ada, bob):
    heard = threading.Event()
    theirs = here.notifications.subscribe(str(bob), lambda: None)
    own = here.notifications.subscribe(str(ada), heard.set)

    async def build(work):
        return "made"

    here.handlers["build"] = build
    job = here.queue(ada)
    last_view(here, ada, job)
    here.runner.close(SOON_S)
    told = [orjson.loads(news) for news in own.take()]
    assert {news["type"] for news in told} == {"task"}
    assert [news["task"]["status"] for news in told][-1] == "done"
    assert {news["task"]["id"] for news in told} == {job}
    assert theirs.take() == []
    own.close()
    theirs.close()


def test_an_unfinished_task_is_not_queued_twice(here, ada):
    with here.database.write() as writing:
        made = {
            here.tasks.queue(writing, kind="build", payload={}, user_id=ada, dedupe_key="one")
            for _ in range(2)
        }
    assert len(made) == 1
