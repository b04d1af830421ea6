"""The asyncio map for synchronous code: every entry works from any thread.

====================================================  ============================================
asyncio                                               here
====================================================  ============================================
`await gather(*coros)`                                `gather(*coros)`
`create_task(coro)`, `await task`, `task.cancel()`    `create_task(coro)`, `task.result()`, the same
`await wait(tasks)`                                   `wait(tasks)`
`for next in as_completed(coros): await next`         `for task in as_completed(coros)`
`await shield(task)`                                  `shield(task).result()`
`Lock`, `Semaphore`, `Event`, `Queue`                 the same names, for threads and coroutines
`await wait_for(coro, s)`, `async with timeout(s)`    `wait_for(coro, s)`, `with timeout(s)`
`run(main())`                                         `run(main())`
`get_running_loop()`                                  `get_running_loop()`: the resident loop
`await sleep(0)`                                      `sleep(0)`
`await loop.run_in_executor(pool, f)`                 `run_in_executor(pool, f).result()`
`Task`, `Future`                                      the same names, also for coroutines
====================================================  ============================================

The coroutines run on the process's resident loop and share what lives there; the calling thread
waits. Context variables are carried over, among them the deadline that `with timeout(s)` sets for
every call inside it. Waiting on the loop's own thread raises LoopDeadlockError, since it could
never end; a coroutine uses `asyncio` itself. Each call hops to the loop and back, some 0.1 ms:
threads that share nothing with coroutines are better served by `threading`.
"""

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

from xwe.core.concurrency.blocking.deadlines import Deadline, timeout
from xwe.core.concurrency.blocking.primitives import Event, Lock, Queue, Semaphore
from xwe.core.concurrency.blocking.tasks import (
    Future,
    Task,
    as_completed,
    create_task,
    gather,
    get_running_loop,
    run,
    run_in_executor,
    shield,
    sleep,
    wait,
    wait_for,
)

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Deadline",
    "Event",
    "Future",
    "Lock",
    "Queue",
    "Semaphore",
    "Task",
    "as_completed",
    "create_task",
    "gather",
    "get_running_loop",
    "run",
    "run_in_executor",
    "shield",
    "sleep",
    "timeout",
    "wait",
    "wait_for",
]
