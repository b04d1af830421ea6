"""The bridge: synchronous code calls asynchronous code and waits for it in its own thread.

Everything runs on the one resident loop, so locks, queues and pooled connections can be shared by
all calls. With LLM_ASYNC_ENABLED=false each call runs in the calling thread instead, as slow and as
simple as the code it replaced.
"""

import asyncio
import contextvars
import inspect
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from xwe.core.concurrency.admission import Admission, AdmissionStats
from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.handover import as_coroutine
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.concurrency.own_loop import OwnLoop
from xwe.errors import DeadlineExceededError, SaturatedError, XweError

P = ParamSpec("P")
T = TypeVar("T")

_UNSET = object()


def run_async_in_sync(awaitable: Awaitable[T], timeout_s: float | None = None) -> T:
    """Run a coroutine on the resident loop and wait for its result in this thread.

    Works without a loop, inside a running one (a notebook: the cell waits, the coroutine runs on
    the resident loop), from a pool's thread and inside a Flask view. Context variables are carried
    over.

    Args:
        awaitable: usually a coroutine. A future or task of another loop raises RuntimeError, as
            in asyncio.
        timeout_s: cancels the coroutine after this many seconds.

    Raises:
        LoopDeadlockError: (a RuntimeError) on the resident loop's own thread.
        DeadlineExceededError: (a TimeoutError) after `timeout_s`.
    """
    coro: Coroutine[Any, Any, T] = as_coroutine(awaitable)
    return _run(coro, timeout_s, contextvars.copy_context())


def _run(coro: Coroutine[Any, Any, T], timeout_s: float | None, context: contextvars.Context) -> T:
    if AsyncConfig.is_async_enabled():
        return get_loop_thread().run(coro, timeout_s, context=context)
    with OwnLoop() as loop:
        return loop.run(coro, timeout_s, context=context)


async def await_on_resident(coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` on the resident loop and await it from any loop.

    Cancelling the caller cancels `coro`.
    """
    thread = get_loop_thread()
    if thread.is_current():
        return await coro
    return await asyncio.wrap_future(thread.submit(coro))


def _made_synchronous(result: Any, timeout_s: float | None) -> Any:
    """Make what a view returned synchronous, for both `async_route` and `AsyncBridge`."""
    if not asyncio.iscoroutine(result):
        if isinstance(result, AsyncIterator):
            return iterate_in_sync(result)
        if not inspect.isawaitable(result):
            return result
        result = as_coroutine(result)
    answer = _run_in_context(result, timeout_s)
    return iterate_in_sync(answer) if isinstance(answer, AsyncIterator) else answer


def _run_in_context(coro: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    """Run `coro` in a copy of the context and take over what it set, as a plain call would."""
    context = contextvars.copy_context()
    try:
        return _run(coro, timeout_s, context)
    finally:
        for variable, value in context.items():
            if variable.get(_UNSET) is not value:
                variable.set(value)


def async_route(view: Callable[P, Any]) -> Callable[P, Any]:
    """Turn an `async def` view into one that a WSGI server can call.

    `request`, `g`, `session` and `url_for` work inside. The view runs on the resident loop; none
    is made per request. An async generator becomes a streamed response; it still sees `request`
    but runs after the teardown functions, as Flask's own streams do. ::

        @app.post("/api/chat")
        @async_route
        async def chat():
            return {"response": await client.chat_async(request.json["message"])}

    In an app with an `AsyncBridge`, its limits apply to the view.
    """

    @wraps(view)
    def synchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
        bridge = _dispatching.get()
        if bridge is None:
            return _made_synchronous(view(*args, **kwargs), None)
        return bridge.answer_view(view(*args, **kwargs))

    return synchronous


class FlaskLike(Protocol):
    """What the bridge needs of an application: Flask's shape, so that Flask is not imported."""

    extensions: dict[str, Any]
    error_handler_spec: Any

    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """As Flask's; replaced."""

    def dispatch_request(self) -> Any:
        """As Flask's; replaced where views are limited."""

    def register_error_handler(self, code_or_exception: Any, f: Callable[[Any], Any]) -> None:
        """As Flask's."""


class AsyncBridge:
    """Runs every `async def` view of an existing Flask app on the resident loop.

    One line, `AsyncBridge(app)`, is enough: views, `before_request` functions and error handlers
    stay as they are. Overload is answered with 503 and Retry-After, a missed deadline with 504,
    both as `{"error": {…}}`, unless the app has its own handlers for `SaturatedError` and
    `DeadlineExceededError`.

    Args:
        app: a Flask application, or None with `init_app` later.
        max_running: how many async views run at once, including those under `async_route`; None
            for as many as the server has threads. Functions before and after a view do not count:
            what has begun is finished.
        max_waiting: how many may wait when `max_running` is set.
        timeout_s: the deadline of a view in seconds, including the wait; None for none.
    """

    def __init__(
        self,
        app: FlaskLike | None = None,
        *,
        max_running: int | None = None,
        max_waiting: int = 0,
        timeout_s: float | None = None,
    ) -> None:
        self._admission = (
            None if max_running is None else Admission(max_running, max_waiting, name="views")
        )
        self._timeout_s = timeout_s
        if app is not None:
            self.init_app(app)

    def init_app(self, app: FlaskLike) -> None:
        """Take over `app`'s asynchronous functions."""
        replaceable: Any = app  # methods, to a type checker
        replaceable.async_to_sync = self.async_to_sync
        if self._admission is not None or self._timeout_s is not None:
            replaceable.dispatch_request = self._marked(app.dispatch_request)
        registered = app.error_handler_spec[None][None]
        for kind, handler in ((SaturatedError, _overloaded), (DeadlineExceededError, _too_late)):
            if kind not in registered:
                app.register_error_handler(kind, handler)
        app.extensions["xwe-bridge"] = self

    def async_to_sync(self, func: Callable[P, Any]) -> Callable[P, Any]:
        """The synchronous form of an `async def` function, in the form that Flask expects."""

        def synchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
            if _dispatching.get() is self:
                return self.answer_view(func(*args, **kwargs))
            return _made_synchronous(func(*args, **kwargs), self._timeout_s)

        return synchronous

    def answer_view(self, result: Any) -> Any:
        """Make what a view returned synchronous, within the limits."""
        if not inspect.isawaitable(result):
            return _made_synchronous(result, None)
        # What the view calls belongs to it and is not admitted again.
        token = _dispatching.set(None)
        try:
            if self._admission is None:
                return _made_synchronous(result, self._timeout_s)
            return self._answer_in_place(result, self._admission, self._timeout_s)
        finally:
            _dispatching.reset(token)

    @staticmethod
    def _answer_in_place(result: Any, admission: Admission, timeout_s: float | None) -> Any:
        asked_at = time.monotonic()
        with ExitStack() as held:
            try:
                held.enter_context(admission.place_blocking(timeout_s))
            except BaseException:
                if asyncio.iscoroutine(result):
                    result.close()  # nobody will await it
                raise
            if timeout_s is not None:
                timeout_s -= time.monotonic() - asked_at
            return _made_synchronous(result, timeout_s)

    def _marked(self, dispatch: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(dispatch)
        def dispatch_request() -> Any:
            token = _dispatching.set(self)
            try:
                return dispatch()
            finally:
                _dispatching.reset(token)

        return dispatch_request

    def stats(self) -> AdmissionStats | None:
        """How many views run and wait; None without `max_running`."""
        return self._admission.stats() if self._admission is not None else None


# The bridge whose view is being called. It tells a view from the functions around it, since Flask
# asks for the synchronous form of both, and `async_route` may wrap either.
_dispatching: contextvars.ContextVar[AsyncBridge | None] = contextvars.ContextVar(
    "xwe_dispatching", default=None
)


def _overloaded(error: XweError) -> tuple[dict[str, Any], int, dict[str, str]]:
    return _body(error), 503, {"Retry-After": str(math.ceil(error.retry_after_s or 1))}


def _too_late(error: XweError) -> tuple[dict[str, Any], int]:
    return _body(error), 504


def _body(error: XweError) -> dict[str, Any]:
    described = {"code": error.code, "message": error.message, "retryable": error.retryable}
    return {"error": described}
