"""The command line: `xwe run`, `xwe mock`, `xwe db`, `xwe user`, `xwe jobs`, `xwe config`."""

from xwe.extras import importing, missing_extra_exits


def main() -> None:
    """The console script; a missing extra is one line, also where click is missing."""
    with missing_extra_exits(), importing("app"):
        from xwe.cli.commands import xwe_command  # noqa: PLC0415 - imports click
    xwe_command(prog_name="xwe")
