"""The resident event loop: one per process, in a thread of its own, as long as the process lives.

An asyncio lock that two loops contend for raises, and pooled connections die with their loop. So
there is one loop, started at the first use, and threads hand it coroutines.

A fork copies the memory but not the thread: the child forgets the inherited loop and starts its
own when it needs one.
"""

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from xwe.core.concurrency.handover import LoopCall, SubmittedCall, WaitedCall
from xwe.core.concurrency.watchdog import STALL_AFTER_S, Watchdog
from xwe.errors import ClosedError, DeadlineExceededError, LoopDeadlockError

log = logging.getLogger("xwe.loop")

T = TypeVar("T")

# How long tasks get to unwind when the loop closes: a stubborn one must not hang the process.
CLOSE_WITHIN_S = 2.0


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - importing xwe must stay cheap
    except ImportError:  # not built for this platform: asyncio's own loop serves
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class LoopThread:
    """An event loop in a daemon thread of its own, started at the first use.

    Args:
        name: the thread's.
        stall_after_s: how long a callback may block the loop before its stack is logged, in
            seconds.

    Raises (from every method that hands work over): ClosedError after `close()`, also for calls
    pending at that moment.
    """

    def __init__(self, name: str = "xwe-loop", *, stall_after_s: float = STALL_AFTER_S) -> None:
        self._name = name
        self._watchdog = Watchdog(stall_after_s)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._incoming: deque[LoopCall[Any]] = deque()
        self._waited_for: set[LoopCall[Any]] = set()
        # Calls that `close` has answered, kept because the loop only holds their tasks weakly.
        self._cut_off: list[LoopCall[Any]] = []
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; starts it."""
        return self._loop if self._loop is not None and not self._closed else self._start()

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed; it never opens again."""
        return self._closed

    @property
    def ident(self) -> int | None:
        """The thread's identifier; None before the start."""
        return self._ident

    @property
    def lag_s(self) -> float:
        """How late the loop answered the last check, or is late by now, in seconds."""
        return self._watchdog.lag_s

    def is_current(self) -> bool:
        """Whether the caller runs on the loop's own thread."""
        return self._ident == threading.get_ident()

    def refuse_own_thread(self) -> None:
        """Raise LoopDeadlockError when called on the loop's own thread."""
        if self._ident == threading.get_ident():
            raise LoopDeadlockError(
                "Waiting for the event loop on the event loop's own thread can never end: "
                "this code already runs inside a coroutine, so `await` it there."
            )

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
            DeadlineExceededError: after `timeout_s` seconds; the coroutine is cancelled.
            LoopDeadlockError: when called on the loop's own thread.
        """
        try:
            self.refuse_own_thread()
        except LoopDeadlockError:
            coro.close()
            raise
        call = WaitedCall(coro, contextvars.copy_context() if context is None else context)
        try:
            self.start(call)
            finished = call.wait(timeout_s)
        except BaseException:  # Ctrl-C in the waiting thread: the work must not go on unnoticed
            self._abandon(call)
            raise
        if not finished:
            self._abandon(call)
            raise DeadlineExceededError(f"No answer within {timeout_s:.3g} s.")
        return call.outcome()

    def submit(
        self, coro: Coroutine[Any, Any, T], *, context: contextvars.Context | None = None
    ) -> Future[T]:
        """Start `coro` on the loop and return immediately; context as in `run`.

        Cancelling the future cancels the coroutine. Waiting for it on the loop's own thread
        would deadlock; `run` refuses to.
        """
        future: Future[T] = Future()
        call = SubmittedCall(
            coro, contextvars.copy_context() if context is None else context, future
        )

        def cancel_with_it(future: Future[T]) -> None:
            if future.cancelled():
                self.cancel(call)

        future.add_done_callback(cancel_with_it)
        self.start(call)
        return future

    def start(self, call: LoopCall[Any]) -> None:
        """Start `call` on the loop and return immediately.

        Raises:
            ClosedError: the call has been turned away.
        """
        try:
            loop = self.loop
        except BaseException as error:
            call.turn_away(error)
            raise
        self._incoming.append(call)
        try:  # noqa: SIM105 - suppress() would cost more than the rest of this
            loop.call_soon_threadsafe(self._take_in)
        except RuntimeError:  # closed in this very moment
            pass
        if self._closed:  # `close` may have missed it
            self._turn_away_incoming()

    def cancel(self, call: LoopCall[Any]) -> None:
        """End the work of `call`; from any thread."""
        if self._loop is not None and not self._closed:
            with contextlib.suppress(RuntimeError):  # closed in this very moment
                self._loop.call_soon_threadsafe(call.cancel)

    def _take_in(self) -> None:
        if self._closed:
            self._turn_away_incoming()
        elif self._loop is not None:
            while self._incoming:
                self._incoming.popleft().start(self._loop, self._waited_for)

    def _turn_away_incoming(self) -> None:
        with contextlib.suppress(IndexError):  # another thread may be emptying it too
            while True:
                self._incoming.popleft().turn_away(ClosedError("The event loop was closed."))

    def _abandon(self, call: LoopCall[Any]) -> None:
        call.abandon()
        self.cancel(call)

    def close(self) -> None:
        """Cancel what runs, stop the loop and join its thread. Idempotent; not from the loop."""
        with self._starting:
            if self._closed:
                return
            self.refuse_own_thread()
            self._closed = True
        self._watchdog.stop()
        # Before stopping the loop, which foreign code may be blocking.
        self._turn_away_incoming()
        self._fail_waited_for()
        if self._loop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # it has ended on its own
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN_S * 2)

    def leave_asleep(self) -> None:
        """Leave blocked threads blocked. When the process exits they can only be daemon threads.

        Woken with an error, each would print a traceback as the process exits.
        """
        for call in self._waited_for.copy():
            if call.blocks:
                self._waited_for.discard(call)

    def _fail_waited_for(self) -> None:
        with contextlib.suppress(KeyError):  # the loop may be removing one too
            while True:
                call = self._waited_for.pop()
                self._cut_off.append(call)
                call.fail(ClosedError("The event loop was closed meanwhile."))

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._closed:
                raise ClosedError("The event loop has been closed.")
            if sys.is_finalizing():  # a thread started now would never run
                raise ClosedError("The interpreter ends.")
            if self._loop is None:
                loop = _new_event_loop()
                thread = threading.Thread(
                    target=self._serve, args=(loop,), name=self._name, daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads
                    loop.close()
                    raise
                self._thread, self._ident = thread, thread.ident
                self._loop = loop
                _running.add(self)
                self._watchdog.start(loop, self._ident or 0)
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            # A sys.exit() or loop.stop() in one task must not take the loop from everybody.
            while not self._closed:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as error:
                    log.error("A task tried to end the event loop: %s", type(error).__name__)  # noqa: TRY400 - its traceback may show user data
            loop.run_until_complete(self._unwind())
        finally:
            self._closed = True
            self._turn_away_incoming()
            self._cut_off.clear()
            loop.close()
            self._ident = None  # the system may reuse it
            _running.discard(self)

    async def _unwind(self) -> None:
        """Cancel the remaining tasks and give them CLOSE_WITHIN_S to clean up."""
        self._fail_waited_for()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + CLOSE_WITHIN_S
        # At least once, however late: a task that is not cancelled is destroyed as it stands.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=max(0.0, ends_at - loop.time()))
            if loop.time() >= ends_at:
                break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await loop.shutdown_asyncgens()

    def forget_after_fork(self) -> None:
        """In a forked child, where the thread does not run: count as closed and touch nothing."""
        self._starting = threading.Lock()  # another thread may have held it during the fork
        self._closed = True
        self._ident = None


# Those whose threads run. In a forked child they stay here for ever: finalising an inherited loop
# would touch the file descriptors that it shares with the parent.
_running: set[LoopThread] = set()
_resident: LoopThread | None = None
_resident_guard = threading.Lock()


def get_loop_thread() -> LoopThread:
    """The process's resident loop thread; the same until the process exits or forks."""
    resident = _resident
    return resident if resident is not None and not resident.is_closed else _make_resident()


def _make_resident() -> LoopThread:
    global _resident  # noqa: PLW0603 - one loop a process is the point
    with _resident_guard:
        if _resident is None or _resident.is_closed:
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
    global _resident, _resident_guard  # noqa: PLW0603 - as above
    _resident_guard = threading.Lock()  # another thread may have held it during the fork
    _resident = None
    for inherited in _running:
        inherited.forget_after_fork()


def _close_at_exit() -> None:
    if _resident is not None:
        _resident.leave_asleep()
    close_loop_thread()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_close_at_exit)
