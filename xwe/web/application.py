"""The Flask application with what its routes and hooks need at hand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app
from werkzeug.datastructures import ImmutableDict
from werkzeug.routing import BaseConverter, Map

from xwe.bootstrap import Services
from xwe.settings import Settings
from xwe.web.access import AccessRules
from xwe.web.pages.languages import Languages
from xwe.web.server.proxies import TrustedProxies
from xwe.web.streaming.reader_slots import READERS_EACH, ReaderSlots
from xwe.web.streaming.thread_writer import WritingTimes

View = TypeVar("View", bound=Callable[..., Any])


class _Segment(BaseConverter):
    regex = r"[^/\x00]+"
    part_isolating = True


class _Path(BaseConverter):
    regex = r"[^/\x00][^\n\x00]*?"
    part_isolating = False
    weight = 200  # after all more specific rules, as in Werkzeug


class Addresses(Map):
    """The application's addresses, whose variables never match a NUL.

    Nothing has a NUL in its name, and PostgreSQL cannot even be queried for one.
    """

    default_converters = ImmutableDict(
        Map.default_converters | {"default": _Segment, "string": _Segment, "path": _Path}
    )


def protected(view: View) -> View:
    """Mark a view for callers who may call the model."""
    view.protected = True  # type: ignore[attr-defined] # functions have attributes; mypy cannot express it
    return view


def calls_model(view: View) -> View:
    """Mark a view that calls the model: it is protected, and refused during the drain."""
    view.calls_model = True  # type: ignore[attr-defined] # as above
    return protected(view)


def login_required(view: View) -> View:
    """Mark a view for signed-in users, whatever XWE_ACCESS says.

    Others get a 401, or the sign-in page if they open a page in a browser.
    """
    view.login_required = True  # type: ignore[attr-defined] # as above
    return view


class Application(Flask):
    """A Flask application with one set of services.

    Attributes:
        settings: the operator's settings.
        services: what the routes call.
        access_rules: who may call.
        proxies: the proxies in front of it.
        languages: the pages' texts.
        protected_endpoints: the endpoints whose views are marked with `protected`.
        model_endpoints: the endpoints whose views are marked with `calls_model`.
        login_endpoints: the endpoints whose views are marked with `login_required`.
        reader_slots: limits how many answers are read at once, since a reader may hold a thread.
        writing_times: how often answers are flushed, and how often a silent one gets a heartbeat.
        wake_at_drain: called when the drain begins, so that idle connections end. These
            functions must not block.
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
            # Whoever may have this many answers running may also read them all, and rejoin each
            # before its lost connection has been given up.
            max(READERS_EACH, 2 * settings.users.running_streams),
        )
        self.writing_times = WritingTimes(streams.flush_ms / 1000, streams.heartbeat_s)
        self.wake_at_drain: set[Callable[[], None]] = set()
        self._draining = False

    def find_marked_endpoints(self) -> None:
        """Find the endpoints whose views are marked. Call this once all are registered."""
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
        """Refuse new model work; running work may finish within XWE_DRAIN_TIMEOUT."""
        self._draining = True
        self.services.begin_drain()
        for wake in list(self.wake_at_drain):
            wake()

    def close(self) -> None:
        """Close the services when the process exits. Idempotent."""
        self.services.close()


def current_application() -> Application:
    """The application that handles this request."""
    # Not the proxy: a stream outlives the request's context.
    return cast("Application", current_app._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - Flask's documented way
