"""The application's own list of its routes, so that a test of all cannot forget a new one."""

from dataclasses import dataclass

from xwe.bootstrap import build_services
from xwe.settings import load_settings
from xwe.web import create_app
from xwe.web.access import SAFE_METHODS

# What Werkzeug adds to every route by itself.
ADDED = {"HEAD", "OPTIONS"}


@dataclass(frozen=True)
class Route:
    """A rule of the URL map with one of its methods."""

    method: str
    rule: str
    endpoint: str
    is_websocket: bool
    spends: bool

    def __str__(self):
        return f"{self.method} {self.rule}"

    def path(self, part="unknown"):
        """The rule with `part` in the place of each variable."""
        pieces = self.rule.split("<")
        return pieces[0] + "".join(part + piece.partition(">")[2] for piece in pieces[1:])

    @property
    def is_safe(self):
        """Whether its method may change nothing."""
        return self.method in SAFE_METHODS


def _routes():
    settings = load_settings({"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"})
    services = build_services(settings)
    app = create_app(settings, services)
    services.close()
    return [
        Route(
            method,
            rule.rule,
            rule.endpoint,
            rule.websocket,
            rule.endpoint in app.model_endpoints,
        )
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods - ADDED)
    ]


ROUTES = _routes()
UNSAFE = [route for route in ROUTES if not route.is_safe]
SAFE = [route for route in ROUTES if route.is_safe]
