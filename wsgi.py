"""The WSGI application, for `gunicorn -c config/gunicorn.conf.py wsgi:application`."""

from xwe.extras import importing, missing_extra_exits

with missing_extra_exits(), importing("app"):
    from xwe.observability.logs import configure_logging
    from xwe.settings import load_settings
    from xwe.settings.env_file import read_env_file
    from xwe.web import create_app

    read_env_file()
    settings = load_settings()
    configure_logging(settings)
    application = create_app(settings)
