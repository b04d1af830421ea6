"""A model server in its own thread, for tests and examples."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from xwe.core.concurrency.loop_thread import LoopThread
from xwe.mock.behaviour import Behaviour
from xwe.mock.recorder import ReceivedRequest, RequestLog
from xwe.mock.rules import RequestKind, Rule
from xwe.mock.server import ModelServer, base_url


class MockServer:
    """A model server in its own thread, which can be scripted and observed.

    ::

        with MockServer(Behaviour(latency_s=0.1)) as server:
            client = LLMClient("any key", server.base_url + "/chat/completions")

    Args:
        behaviour: the default behaviour of chat requests.
        api_key: the key that clients must send; None accepts everyone.
        host: the address to listen on.
        port: the port to listen on; 0 is any free one.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._log = RequestLog()
        self._server = ModelServer(behaviour, api_key=api_key, log=self._log)
        self._host, self._port = host, port
        self._thread: LoopThread | None = None

    def start(self) -> Self:
        """Start listening; does nothing if it already does."""
        if self._thread is None:
            self._thread = LoopThread("xwe-mock")
            self._port = self._thread.run(self._server.start(self._host, self._port))
        return self

    def close(self) -> None:
        """End all requests, connections, the loop and the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.run(self._server.stop())
            thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """The API's base URL, without `/chat/completions`."""
        return base_url(self._host, self._port)

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests so far, in order of arrival."""
        return self._log.requests

    def forget_requests(self) -> None:
        """Empty the list of requests."""
        self._log.clear()

    def script(self, *behaviours: Behaviour) -> None:
        """Use these behaviours for the next chat requests, one each, in order."""
        self._server.script(*behaviours)

    def follow(self, *rules: Rule) -> None:
        """Answer each request by the first rule that matches it, once the script is used up.

        Rules depend on nothing but the request, so several conversations can run at once. They
        replace earlier rules; with none, the default applies::

            server.follow(
                Rule("offers_tools", Behaviour(tool_calls=[{"name": "weather"}])),
                Rule("has_tool_results", Behaviour(text="It rains.")),
                Rule(lambda body: body["model"] == "slow", Behaviour(latency_s=5)),
            )
        """
        self._server.follow(*rules)

    def script_by_kind(
        self,
        *,
        offers_tools: Behaviour | None = None,
        has_tool_results: Behaviour | None = None,
        plain: Behaviour | None = None,
    ) -> None:
        """Set one rule for each kind of request in a turn with tools; see `RequestKind`."""
        kinds: tuple[tuple[RequestKind, Behaviour | None], ...] = (
            ("offers_tools", offers_tools),
            ("has_tool_results", has_tool_results),
            ("plain", plain),
        )
        self.follow(*(Rule(kind, said) for kind, said in kinds if said is not None))

    def reset(self) -> None:
        """Forget the requests, the rules and the rest of the script.

        Requests that were already sent are accepted first: they use up the old script, never the
        next one.
        """
        if self._thread is not None:
            self._thread.run(self._server.take_in())
        self._server.forget_script()
        self._log.clear()

    def wait_until(self, predicate: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Block until `predicate()` is true; it is checked whenever a request changes.

        Raises:
            TimeoutError: it was still false after `timeout_s` seconds.
        """
        self._log.wait_until(predicate, timeout_s)
