"""The Flask application with what its routes and hooks need at hand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app

from xwe.bootstrap import Services
from xwe.core.concurrency.admission import Admission
from xwe.settings import Settings
from xwe.web.access import AccessRules
from xwe.web.languages import Languages
from xwe.web.sse import WritingTimes

View = TypeVar("View", bound=Callable[..., Any])


def protected(view: View) -> View:
    """Mark a view that only those may use who may call the model."""
    view.protected = True  # type: ignore[attr-defined] # functions take attributes; mypy has no word for it
    return view


def calls_model(view: View) -> View:
    """Mark a view that spends the model's time: it is protected, and refused during the drain."""
    view.calls_model = True  # type: ignore[attr-defined] # as above
    return protected(view)


class Application(Flask):
    """A Flask application that belongs to one set of services.

    Attributes:
        settings: what the operator asked for.
        services: what the routes call.
        access_rules: who may call.
        languages: the pages' texts.
        protected_endpoints: the endpoints whose views are marked with `protected`.
        model_endpoints: those of them that are marked with `calls_model`.
        stream_places: how many live answers can be read at once: each reader holds a thread.
        writing_times: how live answers are written.
        wake_at_drain: called when the drain begins: connections that wait for nothing in
            particular end then. They must not block.
    """

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__("xwe.web")
        self.settings = settings
        self.services = services
        self.access_rules = AccessRules.of(settings)
        self.languages = Languages.load()
        self.protected_endpoints: frozenset[str] = frozenset()
        self.model_endpoints: frozenset[str] = frozenset()
        streams = settings.streams
        self.stream_places = Admission(
            settings.llm.max_inflight + streams.max_open, 0, name="open streams"
        )
        self.writing_times = WritingTimes(streams.flush_ms / 1000, streams.heartbeat_s)
        self.wake_at_drain: set[Callable[[], None]] = set()
        self._draining = False

    def find_marked_endpoints(self) -> None:
        """Remember which endpoints' views are marked; once all are registered."""
        self.protected_endpoints = self._marked("protected")
        self.model_endpoints = self._marked("calls_model")

    def _marked(self, mark: str) -> frozenset[str]:
        views = self.view_functions.items()
        return frozenset(endpoint for endpoint, view in views if getattr(view, mark, False))

    @property
    def is_draining(self) -> bool:
        """Whether new model work is refused."""
        return self._draining

    def begin_drain(self) -> None:
        """Refuse new model work from now on; what runs may finish within XWE_DRAIN_TIMEOUT."""
        self._draining = True
        self.services.streams.drain(self.settings.server.drain_s)
        for wake in list(self.wake_at_drain):
            wake()

    def close(self) -> None:
        """Release what the services hold, at the process's end. Idempotent."""
        self.services.close()


def current_application() -> Application:
    """The application that handles this request."""
    # Itself, not the proxy: a stream outlives the request's context.
    return cast("Application", current_app._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - Flask's documented way
