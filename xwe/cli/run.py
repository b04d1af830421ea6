"""`xwe run`: the application under gunicorn, without a checkout."""

import os
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from xwe.extras import missing_extra_exits
from xwe.settings import load_settings
from xwe.settings.env_file import read_env_file
from xwe.web import create_app
from xwe.web.server.gunicorn_options import gunicorn_options


class Server(BaseApplication):  # type: ignore[misc] # gunicorn carries no types
    """gunicorn with our options and without its command line."""

    def load_config(self) -> None:
        """Take the options from the settings; gunicorn calls this again on a reload."""
        for name, value in gunicorn_options(load_settings()).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application; each worker creates its own."""
        with missing_extra_exits():
            return create_app()


@click.command("run")
@click.option("--host", help="Address to listen on, instead of HOST.")
@click.option("--port", help="TCP port, instead of PORT; 0 takes any free one.")
def run_command(host: str | None, port: str | None) -> None:
    """Serve the application.

    Environment variables or a .env file in this directory set everything; `xwe config` lists them.
    """
    for name, value in (("HOST", host), ("PORT", port)):
        if value is not None:
            os.environ[name] = value
    read_env_file()
    load_settings()  # here a wrong value is one line; inside gunicorn, a traceback
    Server().run()
