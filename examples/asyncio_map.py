"""The asyncio map in a synchronous Flask app: one plain view for each entry.

Every view is an ordinary function. What it starts runs on the one resident loop of the process,
and the view's thread waits for it: gather, create_task, wait, as_completed, shield; Lock,
Semaphore, Event, Queue; wait_for, timeout, cancel; run, get_running_loop, sleep(0),
run_in_executor; Task and Future.
"""

import asyncio
import hashlib
from concurrent.futures import CancelledError

from any_model import any_model
from flask import Flask

from xwe import LLMClient
from xwe import blocking as aio

app = Flask(__name__)


async def ask(prompt: str) -> str:
    """A model call, shortened: the views are about the waiting."""
    answer = await app.config["CLIENT"].chat_async(prompt)
    return f"{prompt} {len(answer)} characters"


async def never() -> None:
    """A call that does not come back."""
    await asyncio.Event().wait()


# --- several at once ---


@app.get("/gather")
def gather() -> list[str]:
    """All at once; the answers in the order of the questions."""
    return aio.gather(ask("One?"), ask("Two?"), ask("Three?"))


@app.get("/create_task")
def create_task() -> str:
    """Start it, do something else, fetch the answer."""
    task = aio.create_task(ask("In the background?"))
    meanwhile = sum(range(1000))
    return f"{meanwhile} meanwhile; {task.result()}"


@app.get("/wait")
def wait() -> str:
    """Wait until the first one is done, and let the other go."""
    tasks = [aio.create_task(ask("First?")), aio.create_task(never())]
    done, pending = aio.wait(tasks, return_when=aio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return f"{len(done)} done, {len(pending)} pending"


@app.get("/as_completed")
def as_completed() -> list[str]:
    """Each answer as soon as it is there, the fastest first."""
    return [task.result() for task in aio.as_completed([ask("A?"), ask("B?"), ask("C?")])]


@app.get("/shield")
def shield() -> str:
    """The waiting is given up; the work goes on to its end."""
    work = aio.create_task(ask("Worth finishing?"))
    aio.shield(work).cancel()
    return work.result()


# --- together, in turn ---

lock, places = aio.Lock(), aio.Semaphore(2)
counter = {"visits": 0}


@app.get("/lock")
def lock_view() -> str:
    """One at a time, threads and coroutines in the same line."""
    with lock:
        counter["visits"] += 1
    return f"visit {counter['visits']}"


@app.get("/semaphore")
def semaphore() -> list[str]:
    """Four questions, two places."""

    async def in_turn(prompt: str) -> str:
        async with places:
            return await ask(prompt)

    return aio.gather(*(in_turn(f"Question {number}?") for number in range(1, 5)))


@app.get("/event")
def event() -> str:
    """A coroutine raises the flag, this thread waits for it."""
    ready = aio.Event()

    async def prepare() -> None:
        ready.set()

    aio.create_task(prepare())
    return f"ready: {ready.wait(timeout=5)}"


@app.get("/queue")
def queue() -> list[str]:
    """A coroutine puts answers in as they come, this thread takes them out."""
    answers: aio.Queue[str] = aio.Queue(maxsize=1)

    async def produce() -> None:
        for prompt in ("Early?", "Late?"):
            await answers.put_async(await ask(prompt))

    aio.create_task(produce())
    return [answers.get(timeout=30), answers.get(timeout=30)]


# --- no longer than that ---


@app.get("/wait_for")
def wait_for() -> str:
    """This long for this call; then it is cancelled."""
    try:
        aio.wait_for(never(), timeout=0.1)
    except TimeoutError as error:
        return str(error)
    return "it came back"


@app.get("/timeout")
def timeout() -> str:
    """This long for everything inside the block."""
    try:
        with aio.timeout(0.1):
            aio.gather(never(), never())
    except TimeoutError as error:
        return str(error)
    return "they came back"


@app.get("/cancel")
def cancel() -> str:
    """Call a task off."""
    task = aio.create_task(never())
    task.cancel()
    try:
        task.result()
    except CancelledError:
        return "cancelled"
    return "it came back"


# --- the loop itself ---


@app.get("/run")
def run() -> str:
    """As `asyncio.run(main())`, but on the loop that is there already."""
    return aio.run(ask("Just this one?"))


@app.get("/get_running_loop")
def get_running_loop() -> str:
    """The resident loop, for libraries that want one."""
    return f"running: {aio.get_running_loop().is_running()}"


@app.get("/sleep0")
def sleep0() -> str:
    """Let everything that is ready on the loop have its turn."""
    aio.sleep(0)
    return "everyone had a turn"


@app.get("/run_in_executor")
def run_in_executor() -> str:
    """Blocking code in a pool, while this thread does something else."""
    return aio.run_in_executor(None, hashlib.sha256, b"blocking").result().hexdigest()[:12]


@app.get("/task")
def task_view() -> str:
    """A task can be asked how it is, and told whom to call."""
    told: list[bool] = []
    task: aio.Task[str] = aio.create_task(ask("Done yet?"))
    aio.wait([task])
    task.add_done_callback(lambda done: told.append(done.done()))  # done already: called at once
    return f"done: {task.done()}, told: {told}"


@app.get("/future")
def future() -> str:
    """A result to come: a coroutine sets it, this thread waits for it."""
    promise: aio.Future[str] = aio.Future()

    async def keep() -> None:
        promise.set_result("kept")

    aio.create_task(keep())
    return f"promise {promise.result(timeout=5)}"


if __name__ == "__main__":
    with any_model(latency_s=0.05), LLMClient(transport="aiohttp") as app.config["CLIENT"]:
        browser = app.test_client()
        for rule in app.url_map.iter_rules():
            if rule.endpoint != "static":
                print(f"{rule.rule:<18} {browser.get(rule.rule).get_data(as_text=True).strip()}")
