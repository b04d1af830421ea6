"""The table of commands.

A command's module is imported when the command is used: `xwe --help` is quick, and `xwe mock`
needs less than `xwe run`.
"""

import sys
from importlib import import_module

import click

from xwe.errors import SettingsError
from xwe.extras import importing, missing_extra_exits

_COMMANDS = {
    "run": ("xwe.cli.run", "run_command", "Serve the application."),
    "mock": ("xwe.mock.command", "mock_command", "Serve the built-in model."),
    "demo": ("xwe.cli.demo.command", "demo_command", "Measure what xwe changes, in half a minute."),
    "db": ("xwe.cli.db", "db_command", "Create or update the database's tables."),
    "user": ("xwe.cli.user", "user_command", "Create and manage accounts."),
    "jobs": ("xwe.cli.jobs", "jobs_command", "List, retry and cancel background jobs."),
    "config": ("xwe.cli.config", "config_command", "Show every setting and where it comes from."),
}
_EXIT_UNUSABLE_SETTINGS = 2


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        with importing("app"):
            command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above says so
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        # From the table: click would import every command for its short help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            with missing_extra_exits():
                return super().invoke(ctx)
        except SettingsError as error:
            click.echo(f"xwe: {error.message}", err=True)
            sys.exit(_EXIT_UNUSABLE_SETTINGS)


@click.command("xwe", cls=_Commands)
@click.version_option(package_name="xwe")
def xwe_command() -> None:
    """Serve model answers from a synchronous Flask application, many at a time."""
