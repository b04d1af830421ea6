"""`xwe user`: the operator creates and manages accounts."""

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
    help="Prompted for unless given here, where it stays in the shell's history."
)


@click.group("user")
def user_command() -> None:
    """Create and manage accounts in the database at XWE_DATABASE_URL."""


@user_command.command("add")
@click.argument("username")
@click.option("--admin", is_flag=True, help="May do what only operators may do.")
@_password
def add_command(username: str, password: str, *, admin: bool) -> None:
    """Create an account, also with XWE_SIGNUP=closed."""
    with _accounts() as accounts:
        created = accounts.add(username, password, is_admin=admin)
        click.echo(f"Created the account {created.username} (id {created.id}).")


@user_command.command("list")
def list_command() -> None:
    """List all accounts: id, name, creation date, and who is an admin."""
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
    prompt="This permanently deletes the account with its characters and chats. Continue?"
)
def delete_command(username: str) -> None:
    """Permanently delete an account and everything that belongs to it."""
    with _accounts() as accounts:
        accounts.delete(accounts.named(username).id)
        click.echo(f"Deleted {username}.")


@user_command.command("passwd")
@click.argument("username")
@_password
def passwd_command(username: str, password: str) -> None:
    """Set a new password, which signs the account out everywhere."""
    with _accounts() as accounts:
        accounts.set_password(accounts.named(username).id, password)
        click.echo(f"{username} has a new password and is signed out everywhere.")


@contextmanager
def _accounts() -> Iterator[Accounts]:
    """The accounts; an error is reported in one line."""
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
