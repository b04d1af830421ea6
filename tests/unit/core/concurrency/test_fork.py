"""A fork copies the memory but not the threads: the child starts its own, whatever it inherited."""

import pytest

# Each script forks; the child ends as an interpreter does, not by os._exit, so that what it
# inherited is also finalised.
PREAMBLE = """
import asyncio, os, sys, threading
from xwe.core.concurrency import executor, loop_thread, watchdog
from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import ClosedError

# A busy machine's late loop is no fault, and one that forks may wait for its child for long.
watchdog.Watchdog._log_stack = lambda *_: None

async def echo(value):
    await asyncio.sleep(0.001)
    return value

def fork(child):
    pid = os.fork()
    if pid == 0:
        print(child(), flush=True)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""


@pytest.fixture
def run(in_fresh_interpreter):
    return lambda script: in_fresh_interpreter(PREAMBLE + script)


def test_the_child_starts_its_own_loop_and_leaves_the_parents_alone(run):
    printed = run("""
assert run_async_in_sync(echo(1)) == 1
inherited = get_loop_thread()

def child():
    assert get_loop_thread() is not inherited
    assert get_loop_thread().loop is not inherited.loop_before
    assert threading.active_count() == 3, threading.enumerate()
    return run_async_in_sync(echo("child"))

inherited.loop_before = inherited.loop
fork(child)
fork(child)
assert get_loop_thread() is inherited
print(run_async_in_sync(echo("parent")))
""")
    assert printed == ["child", "child", "parent"]


def test_the_child_answers_when_a_thread_held_the_locks_as_it_was_forked(run):
    printed = run("""
assert executor.get_global_executor().submit(pow, 2, 3).result() == 8
inherited = get_loop_thread()
inherited.run(echo(1))
locks = [
    loop_thread._resident_guard,
    inherited._starting,
    executor._Global.guard,
    executor.get_global_executor()._guard,
]
held, forked = threading.Event(), threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    forked.wait()
    for lock in locks:
        lock.release()

def child():
    assert executor.get_global_executor().submit(pow, 2, 4).result() == 16
    try:
        inherited.run(echo(1))
    except ClosedError:
        print("closed")
    return run_async_in_sync(echo("child"))

holder = threading.Thread(target=hold)
holder.start()
held.wait()
fork(child)
forked.set()
holder.join()
print(run_async_in_sync(echo("parent")))
""")
    assert printed == ["closed", "child", "parent"]


def test_the_child_answers_when_a_thread_was_just_starting_the_loop(run):
    printed = run("""
new_event_loop = loop_thread._new_event_loop
starting, forked = threading.Event(), threading.Event()

def slow_new_event_loop():
    starting.set()
    forked.wait()
    return new_event_loop()

def child():
    loop_thread._new_event_loop = new_event_loop
    return run_async_in_sync(echo("child"))

loop_thread._new_event_loop = slow_new_event_loop
starter = threading.Thread(target=lambda: print(run_async_in_sync(echo("parent"))))
starter.start()
starting.wait()
fork(child)
forked.set()
starter.join()
""")
    assert printed == ["child", "parent"]


def test_an_inherited_thread_is_closed_and_an_iterator_left_half_read_harms_nobody(run):
    printed = run("""
async def numbers():
    for number in range(1000):
        yield number

def child():
    try:
        inherited.run(echo(1))
    except ClosedError:
        print("closed")
    inherited.close()
    half_read.close()
    return run_async_in_sync(echo("child"))

inherited = get_loop_thread()
half_read = iterate_in_sync(numbers())
assert next(half_read) == 0
forgotten = iterate_in_sync(numbers())
assert next(forgotten) == 0
fork(child)
print(sum(half_read))
forgotten.close()
""")
    assert printed == ["closed", "child", str(sum(range(1000)))]


def test_a_pool_with_threads_in_the_parent_works_in_the_child(run):
    printed = run("""
def child():
    assert pool.stats().threads == 0
    answers = [pool.submit(pow, 2, number) for number in range(5)]
    print(*[answer.result() for answer in answers])
    try:
        ended.submit(pow, 2, 3)
    except RuntimeError:
        return "ended"

pool, ended = [executor.BoundedThreadPoolExecutor(2, 10) for _ in range(2)]
assert list(pool.map(abs, [-1, -2])) == [1, 2]
ended.shutdown()
fork(child)
print(pool.submit(pow, 2, 10).result())
pool.shutdown()
""")
    assert printed == ["1", "2", "4", "8", "16", "ended", "1024"]


def test_a_fork_inside_a_coroutine_leaves_a_child_that_can_use_the_bridge(run):
    printed = run("""
async def forking():
    pid = os.fork()
    if pid == 0:
        print(run_async_in_sync(echo("child")), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return "parent"

print(run_async_in_sync(forking()))
""")
    assert printed == ["child", "parent"]


def test_a_multiprocessing_child_answers(run):
    printed = run("""
import multiprocessing

assert run_async_in_sync(echo(1)) == 1
child = multiprocessing.get_context("fork").Process(
    target=lambda: print(run_async_in_sync(echo("child")), flush=True)
)
child.start()
child.join()
print(child.exitcode)
""")
    assert printed == ["child", "0"]


def test_the_workers_of_a_preforking_server_that_warmed_up_before_answer(run):
    """As gunicorn with preload_app: the application is made, and used, before the fork."""
    printed = run("""
import http.client, socket
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server
from xwe.core.concurrency.bridge import AsyncBridge

app = Flask("prefork")
AsyncBridge(app, max_running=4)

@app.get("/")
async def view():
    await asyncio.sleep(0)
    return str(os.getpid())

class QuietHandler(WSGIRequestHandler):
    def log(self, *args):
        pass

assert app.test_client().get("/").text == str(os.getpid())
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
workers = set()
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        server = make_server("", port, app, fd=listener.fileno(), request_handler=QuietHandler)
        server.handle_request()
        server.server_close()
        sys.exit(0)
    workers.add(pid)
answered = set()
for _ in range(2):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", "/")
    answered.add(int(client.getresponse().read()))
    client.close()
listener.close()
assert answered == workers, (answered, workers)
print(*[os.waitpid(pid, 0)[1] for pid in workers])
""")
    assert printed == ["0", "0"]
