"""The application factory."""

import atexit

from xwe.bootstrap import Services, build_services
from xwe.settings import Settings, load_settings
from xwe.web import errors, hooks
from xwe.web.application import Application
from xwe.web.routes import (
    accounts,
    agent,
    characters,
    chat_pages,
    chats,
    generations,
    health,
    llm,
    operations,
    pages,
    tasks,
    websocket,
)
from xwe.web.server.request_id_middleware import RequestIdMiddleware
from xwe.web.server.request_observation import ObservedRequests

ROUTES = (
    llm,
    generations,
    agent,
    pages,
    accounts,
    characters,
    chat_pages,
    chats,
    health,
    operations,
    tasks,
    websocket,
)


def create_app(settings: Settings | None = None, services: Services | None = None) -> Application:
    """A Flask application, ready to serve.

    Args:
        settings: by default those of `services`, or else those of the environment.
        services: what the routes call; the caller closes them. By default they are built from
            `settings` and closed when the process exits.

    Raises:
        SettingsError: an environment variable has an unusable value.
    """
    if services is None:
        services = build_services(load_settings() if settings is None else settings)
        atexit.register(services.close)
    app = Application(services.settings if settings is None else settings, services)
    hooks.init_app(app)
    errors.init_app(app)
    identified = RequestIdMiddleware(app.proxies.before(app.wsgi_app))
    app.wsgi_app = ObservedRequests(identified, app.services.observation)  # type: ignore[method-assign] # as Flask's documentation has it
    for routes in ROUTES:
        app.register_blueprint(routes.blueprint)
    app.find_marked_endpoints()
    return app
