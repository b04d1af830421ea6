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
from xwe.web.server.request_observation import ObservedRequests


def create_app(settings: Settings | None = None, services: Services | None = None) -> Application:
    """A Flask application, ready to serve.

    Args:
        settings: those of `services` where they are given, else read from the environment.
        services: what the routes call, and the caller's to close. Unless given, they are built
            from `settings` and closed when the process ends.

    Raises:
        SettingsError: the environment has a value that cannot be used.
    """
    if services is None:
        services = build_services(load_settings() if settings is None else settings)
        atexit.register(services.close)
    app = Application(services.settings if settings is None else settings, services)
    hooks.init_app(app)
    errors.init_app(app)
    app.wsgi_app = ObservedRequests(app.wsgi_app, app.services.observation)  # type: ignore[method-assign] # as Flask's documentation has it
    for blueprint in (
        *(llm.blueprint, generations.blueprint, agent.blueprint, pages.blueprint),
        *(
            accounts.blueprint,
            characters.blueprint,
            chat_pages.blueprint,
            chats.blueprint,
            health.blueprint,
            operations.blueprint,
            tasks.blueprint,
            websocket.blueprint,
        ),
    ):
        app.register_blueprint(blueprint)
    app.find_marked_endpoints()
    return app
