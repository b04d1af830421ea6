"""The resident event loop: one in a thread of each process, for as long as the process lives.

An asyncio lock that is contended from two loops raises, and pooled connections die with their
loop. So there is one loop, started when it is first needed, and threads hand it coroutines.

A fork copies the memory but not the thread: the child forgets the loop it inherited and starts
its own when it needs one.
"""

import asyncio
import atexit
import contextvars
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from xwe.errors import ClosedError, DeadlineExceededError, LoopDeadlockError

log = logging.getLogger("xwe.loop")

T = TypeVar("T")

# A callback that keeps the loop for this long is worth a stack in the log: every user waits.
STALL_AFTER_S = 2.0
# Two looks a second cost nothing measurable and see a stall well before STALL_AFTER_S is over.
WATCH_EVERY_S = 0.5
# At exit, tasks get this long to unwind; a process must not hang on a stubborn one.
CLOSE_WITHIN_S = 2.0


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - importing xwe must stay cheap
    except ImportError:  # not built for this platform: asyncio's own loop serves
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class _Call(Generic[T]):
    """A coroutine on its way to the loop and its outcome on the way back.

    A bare lock wakes the waiting thread: a `concurrent.futures.Future` brings a condition and two
    more allocations for the same wake-up, and this runs once a request.
    """

    __slots__ = ("_abandoned", "_context", "_coro", "_done", "_error", "_loop", "_result", "_task")

    _result: T

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T],
        context: contextvars.Context,
    ) -> None:
        self._loop = loop
        self._coro = coro
        self._context = context
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False
        self._done = threading.Lock()
        self._done.acquire()

    def start(self) -> None:
        if self._abandoned:
            self._coro.close()
        else:
            self._task = self._loop.create_task(self._run(), context=self._context)

    async def _run(self) -> None:
        try:
            self._result = await self._coro
        except BaseException as error:
            self._error = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._done.release()

    def cancel(self) -> None:
        """End the work; on the loop's thread."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()

    def wait(self, timeout_s: float | None) -> bool:
        return self._done.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))

    def outcome(self) -> T:
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # the traceback holds this frame: do not keep the circle


class LoopThread:
    """An event loop in a daemon thread of its own, started at the first use.

    Args:
        name: of the thread.
        stall_after_s: how long one callback may keep the loop before its stack is logged.

    Raises (from every method that hands work over): ClosedError after `close()`.
    """

    def __init__(self, name: str = "xwe-loop", *, stall_after_s: float = STALL_AFTER_S) -> None:
        self._name = name
        self._watchdog = _Watchdog(self, stall_after_s)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; starts it."""
        return self._loop if self._loop is not None and not self._closed else self._start()

    @property
    def ident(self) -> int | None:
        """The thread's identifier; None before the start."""
        return self._ident

    @property
    def lag_s(self) -> float:
        """How late the loop answered the last look, or has been late by now."""
        return self._watchdog.lag_s

    def is_current(self) -> bool:
        """Whether the caller runs on the loop's own thread."""
        return self._ident == threading.get_ident()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._closed:
                raise ClosedError("The loop thread has been closed.")
            if self._loop is None:
                loop = _new_event_loop()
                running = threading.Event()
                loop.call_soon(running.set)
                self._thread = threading.Thread(
                    target=self._serve, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
                running.wait()
                self._ident = self._thread.ident
                self._loop = loop
                self._watchdog.start()
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            _unwind(loop)
            loop.close()

    def run(
        self,
        coro: Coroutine[Any, Any, T],
        timeout_s: float | None = None,
        *,
        context: contextvars.Context | None = None,
    ) -> T:
        """Run `coro` on the loop and wait for it in this thread.

        The coroutine sees a copy of the caller's context variables, or runs in `context`.

        Raises:
            DeadlineExceededError: after `timeout_s` seconds; the coroutine has been cancelled.
            LoopDeadlockError: when called on the loop's own thread.
        """
        try:
            self.refuse_own_thread()
            loop = self.loop
            call = _Call(loop, coro, context or contextvars.copy_context())
            loop.call_soon_threadsafe(call.start)
        except RuntimeError as error:
            coro.close()
            raise _closed_or(error) from None
        try:
            if self._closed and timeout_s is None:
                timeout_s = CLOSE_WITHIN_S * 2  # it may have been handed over too late to run
            finished = call.wait(timeout_s)
        except BaseException:  # Ctrl-C in the waiting thread: the work must not go on unseen
            loop.call_soon_threadsafe(call.cancel)
            raise
        if not finished:
            if self._closed:
                raise ClosedError("The event loop was closed meanwhile.")
            loop.call_soon_threadsafe(call.cancel)
            raise DeadlineExceededError(f"No answer within {timeout_s:g} s.")
        return call.outcome()

    def submit(self, coro: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `coro` on the loop and return at once; context variables go along.

        Cancelling the future cancels the coroutine. Waiting for it on the loop's own thread
        would deadlock; `run` refuses to.
        """
        try:
            return asyncio.run_coroutine_threadsafe(coro, self.loop)
        except RuntimeError as error:
            coro.close()
            raise _closed_or(error) from None

    def refuse_own_thread(self) -> None:
        """Raise LoopDeadlockError when called on the loop's own thread."""
        if self._ident == threading.get_ident():
            raise LoopDeadlockError(
                "Waiting for the event loop on the event loop's own thread can never end: "
                "this code already runs inside a coroutine, so `await` it there."
            )

    def close(self) -> None:
        """Cancel what runs, stop the loop and join its thread. Idempotent; not from the loop."""
        with self._starting:
            if self._closed:
                return
            self.refuse_own_thread()
            self._closed = True
            loop, thread = self._loop, self._thread
        self._watchdog.stop()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CLOSE_WITHIN_S * 2)


def _closed_or(error: RuntimeError) -> RuntimeError:
    """RuntimeError is asyncio's word for everything; its message tells a closed loop apart."""
    return ClosedError("The event loop has been closed.") if "closed" in str(error) else error


def _unwind(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that are left and let them clean up, within CLOSE_WITHIN_S."""
    # One turn first: what was handed over in the last moment has to start before it is cancelled,
    # or the thread that waits for it would never hear of its end.
    loop.run_until_complete(asyncio.sleep(0))
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_WITHIN_S))
    loop.run_until_complete(loop.shutdown_asyncgens())


class _Watchdog:
    """Asks the loop for a sign of life and logs what keeps it when none comes."""

    def __init__(self, subject: LoopThread, stall_after_s: float) -> None:
        self._subject = subject
        self._stall_after_s = stall_after_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self._answered = True
        self._lag_s = 0.0
        self._logged = False

    @property
    def lag_s(self) -> float:
        return self._lag_s if self._answered else time.monotonic() - self._asked_at

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="xwe-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CLOSE_WITHIN_S)

    def _answer(self) -> None:
        self._lag_s = time.monotonic() - self._asked_at
        self._answered = True

    def _watch(self) -> None:
        interval_s = min(WATCH_EVERY_S, self._stall_after_s / 4)
        while not self._stopping.wait(interval_s):
            if self._answered:
                self._logged = False
                self._answered, self._asked_at = False, time.monotonic()
                try:
                    self._subject.loop.call_soon_threadsafe(self._answer)
                except RuntimeError:  # closed between two looks
                    return
            elif not self._logged and self.lag_s >= self._stall_after_s:
                self._logged = True
                self._log_stack()

    def _log_stack(self) -> None:
        frame = sys._current_frames().get(self._subject.ident or 0)  # noqa: SLF001 - the documented way to see another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no frame)"
        log.warning("The event loop has been blocked for %.1f s by:\n%s", self.lag_s, stack)


_resident: LoopThread | None = None
_resident_guard = threading.Lock()
# A loop that a fork left behind must not be finalised: its descriptors belong to the parent too.
_left_by_fork: list[LoopThread] = []


def get_loop_thread() -> LoopThread:
    """The process's resident loop thread; the same one until the process ends or forks."""
    resident = _resident
    return resident if resident is not None else _make_resident()


def _make_resident() -> LoopThread:
    global _resident  # noqa: PLW0603 - one loop a process is the point
    with _resident_guard:
        if _resident is None:
            _resident = LoopThread()
        return _resident


def close_loop_thread() -> None:
    """Close the resident loop; the next `get_loop_thread()` makes a new one. Idempotent."""
    global _resident
    with _resident_guard:
        resident, _resident = _resident, None
    if resident is not None:
        resident.close()


def _forget_after_fork() -> None:
    global _resident, _resident_guard  # noqa: PLW0603
    _resident_guard = threading.Lock()  # another thread may have held it when the process forked
    if _resident is not None:
        _left_by_fork.append(_resident)
        _resident = None


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(close_loop_thread)
