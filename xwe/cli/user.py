"""`xwe user`: accounts, made and managed by the operator."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from xwe.errors import XweError
from xwe.services.accounts import Accounts
from xwe.settings import load_settings
from xwe.settings.env_file import read_env_file
from xwe.storage import migrating
from xwe.storage.database import Database

_EXIT_FAILED = 1
_PAGE = 500

_password = click.password_option(
    help="Asked for unless given; what is given stays in the shell's history."
)


@click.group("user")
def user_command() -> None:
    """Make and manage accounts in the database that XWE_DATABASE_URL names."""


@user_command.command("add")
@click.argument("username")
@click.option("--admin", is_flag=True, help="May do what only operators may.")
@_password
def add_command(username: str, password: str, *, admin: bool) -> None:
    """Make an account, also where XWE_SIGNUP=closed."""
    with _accounts() as accounts:
        made = accounts.add(username, password, is_admin=admin)
        click.echo(f"{made.username} has an account now (id {made.id}).")


@user_command.command("list")
def list_command() -> None:
    """Show all accounts: id, name, since when, and who is an admin."""
    with _accounts() as accounts:
        last = 0
        while found := accounts.everyone(after_id=last, limit=_PAGE):
            for user in found:
                role = "  admin" if user.is_admin else ""
                click.echo(f"{user.id:>6}  {user.username:<32}  {user.created_at:%Y-%m-%d}{role}")
            last = found[-1].id


@user_command.command("delete")
@click.argument("username")
@click.confirmation_option(
    prompt="This deletes the account with its characters and chats, for good. Go on?"
)
def delete_command(username: str) -> None:
    """Delete an account and all that belongs to it, for good."""
    with _accounts() as accounts:
        accounts.delete(accounts.named(username).id)
        click.echo(f"{username} is deleted.")


@user_command.command("passwd")
@click.argument("username")
@_password
def passwd_command(username: str, password: str) -> None:
    """Give an account another password, which signs it out everywhere."""
    with _accounts() as accounts:
        accounts.set_password(accounts.named(username).id, password)
        click.echo(f"{username} has another password, and is signed out everywhere.")


@contextmanager
def _accounts() -> Iterator[Accounts]:
    """The accounts; what goes wrong with them is one line."""
    read_env_file()
    settings = load_settings()
    database = Database(settings.storage.database_url)
    accounts = Accounts(database, signup_is_open=True)
    try:
        migrating.upgrade(settings.storage.database_url)
        yield accounts
    except XweError as error:
        click.echo(f"xwe: {error.message}", err=True)
        sys.exit(_EXIT_FAILED)
    finally:
        accounts.close()
        database.close()
