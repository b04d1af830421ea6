"""The Flask application with what its routes and hooks need at hand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app

from xwe.bootstrap import Services
from xwe.settings import Settings
from xwe.web.access import AccessRules
from xwe.web.languages import Languages

View = TypeVar("View", bound=Callable[..., Any])


def calls_model(view: View) -> View:
    """Mark a view that spends the model's time: it obeys the access rules and the drain."""
    view.calls_model = True  # type: ignore[attr-defined] # functions take attributes; mypy has no word for it
    return view


class Application(Flask):
    """A Flask application that belongs to one set of services.

    Attributes:
        settings: what the operator asked for.
        services: what the routes call.
        access_rules: who may call.
        languages: the pages' texts.
        model_endpoints: the endpoints whose views are marked with `calls_model`.
    """

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__("xwe.web")
        self.settings = settings
        self.services = services
        self.access_rules = AccessRules.of(settings)
        self.languages = Languages.load()
        self.model_endpoints: frozenset[str] = frozenset()
        self._draining = False

    def find_model_endpoints(self) -> None:
        """Remember which endpoints are marked with `calls_model`; once all are registered."""
        self.model_endpoints = frozenset(
            endpoint
            for endpoint, view in self.view_functions.items()
            if getattr(view, "calls_model", False)
        )

    @property
    def is_draining(self) -> bool:
        """Whether new model work is refused."""
        return self._draining

    def begin_drain(self) -> None:
        """Refuse new model work from now on; what runs may finish. Safe in a signal handler."""
        self._draining = True


def current_application() -> Application:
    """The application that handles this request."""
    return cast("Application", current_app)
