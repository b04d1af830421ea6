"""The Flask application with what its routes and hooks need at hand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app

from xwe.bootstrap import Services
from xwe.settings import Settings
from xwe.web.access import AccessRules
from xwe.web.addresses import Addresses
from xwe.web.pages.languages import Languages
from xwe.web.server.proxies import TrustedProxies
from xwe.web.streaming.reader_slots import READERS_EACH, ReaderSlots
from xwe.web.streaming.thread_writer import WritingTimes

View = TypeVar("View", bound=Callable[..., Any])


def protected(view: View) -> View:
    """Mark a view that only those may use who may call the model."""
    view.protected = True  # type: ignore[attr-defined] # functions take attributes; mypy has no word for it
    return view


def calls_model(view: View) -> View:
    """Mark a view that spends the model's time: it is protected, and refused during the drain."""
    view.calls_model = True  # type: ignore[attr-defined] # as above
    return protected(view)


def login_required(view: View) -> View:
    """Mark a view for those who are signed in, whatever XWE_ACCESS says.

    Others get a 401; who opens a page gets the page to sign in instead.
    """
    view.login_required = True  # type: ignore[attr-defined] # as above
    return view


class Application(Flask):
    """A Flask application that belongs to one set of services.

    Attributes:
        settings: what the operator asked for.
        services: what the routes call.
        access_rules: who may call.
        proxies: those in front of it.
        languages: the pages' texts.
        protected_endpoints: the endpoints whose views are marked with `protected`.
        model_endpoints: those of them that are marked with `calls_model`.
        login_endpoints: the endpoints whose views are marked with `login_required`.
        reader_slots: how many answers can be read at once: a reader may hold a thread.
        writing_times: how answers are written.
        wake_at_drain: called when the drain begins: connections that wait for nothing in
            particular end then. They must not block.
    """

    url_map_class = Addresses

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__("xwe.web")
        self.settings = settings
        self.services = services
        self.access_rules = AccessRules.of(settings)
        self.proxies = TrustedProxies(settings.server.trusted_proxies)
        self.languages = Languages.load()
        self.protected_endpoints: frozenset[str] = frozenset()
        self.model_endpoints: frozenset[str] = frozenset()
        self.login_endpoints: frozenset[str] = frozenset()
        streams = settings.streams
        self.reader_slots = ReaderSlots(
            settings.llm.max_inflight + streams.max_open,
            # Who may have many answers made may also read them, and join one again before the
            # connection that was lost is given up.
            max(READERS_EACH, 2 * settings.users.running_streams),
        )
        self.writing_times = WritingTimes(streams.flush_ms / 1000, streams.heartbeat_s)
        self.wake_at_drain: set[Callable[[], None]] = set()
        self._draining = False

    def find_marked_endpoints(self) -> None:
        """Remember which endpoints' views are marked; once all are registered."""
        self.protected_endpoints = self._marked("protected")
        self.model_endpoints = self._marked("calls_model")
        self.login_endpoints = self._marked("login_required")

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
        self.services.begin_drain()
        for wake in list(self.wake_at_drain):
            wake()

    def close(self) -> None:
        """Release what the services hold, at the process's end. Idempotent."""
        self.services.close()


def current_application() -> Application:
    """The application that handles this request."""
    # Itself, not the proxy: a stream outlives the request's context.
    return cast("Application", current_app._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - Flask's documented way
