"""`xwe config`: every setting with its value, origin and meaning."""

import click

from xwe.settings import environment_warnings, load_settings
from xwe.settings.describing import Row, env_example, markdown_table
from xwe.settings.env_file import ENV_FILE, read_env_file


@click.command("config")
@click.option("--example", "shown", flag_value="example", help="Print the text of .env.example.")
@click.option("--table", "shown", flag_value="table", help="Print the table of docs/settings.md.")
def config_command(shown: str | None) -> None:
    """Show every setting: its value (secrets are hidden), its origin and its meaning."""
    if shown == "example":
        click.echo(env_example(), nl=False)
    elif shown == "table":
        click.echo(markdown_table(), nl=False)
    else:
        from_file = read_env_file()
        rows = load_settings().describe()
        for line in _aligned(rows, from_file):
            click.echo(line)
        for warning in environment_warnings():
            click.echo(f"xwe: {warning}", err=True)


def _aligned(rows: list[Row], from_file: frozenset[str]) -> list[str]:
    name_width = max(len(row.name) for row in rows)
    value_width = max(len(row.value) for row in rows)
    return [
        f"{row.name:<{name_width}}  {row.value:<{value_width}}  "
        f"{_origin(row, from_file):<11}  {row.meaning}"
        for row in rows
    ]


def _origin(row: Row, from_file: frozenset[str]) -> str:
    if not row.is_set:
        return "default"
    return str(ENV_FILE) if row.name in from_file else "environment"
