"""`xwe jobs`: the operator's view of background jobs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from xwe.errors import XweError
from xwe.services.tasks import JobControl
from xwe.settings import load_settings
from xwe.settings.env_file import read_env_file
from xwe.storage import migrating
from xwe.storage.database import Database
from xwe.storage.records import Job

_EXIT_FAILED = 1
_STATES = ("queued", "running", "done", "dead", "cancelled")


@click.group("jobs")
def jobs_command() -> None:
    """Inspect and repair background jobs in the database that XWE_DATABASE_URL names."""


@jobs_command.command("list")
@click.option(
    "--state", type=click.Choice(_STATES), help="Only jobs in this state; failed ones are dead."
)
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
def list_command(state: str | None, kind: str | None, limit: int) -> None:
    """Show jobs, newest first: id, state, kind, user, attempts, progress, creation time, error."""
    with _control() as control:
        for job in control.listed(state=state, kind=kind, limit=limit):
            click.echo(_line(job))


@jobs_command.command("retry")
@click.argument("job_id", type=int)
def retry_command(job_id: int) -> None:
    """Queue a failed or cancelled job again; a running server takes it."""
    with _control() as control:
        control.retry(job_id)
        click.echo(f"Job {job_id} waits for a runner.")


@jobs_command.command("cancel")
@click.argument("job_id", type=int)
def cancel_command(job_id: int) -> None:
    """Cancel a job: at once if it is queued, else by the server that runs it."""
    with _control() as control:
        job = control.cancel(job_id)
        state = "asked to end" if job.state == "running" else job.state
        click.echo(f"Job {job_id} is {state}.")


def _line(job: Job) -> str:
    user = "-" if job.user_id is None else str(job.user_id)
    error = f"  {job.error}" if job.error else ""
    return (
        f"{job.id:>6}  {job.state:<9}  {job.kind:<20}  {user:>6}  {job.attempts}"
        f"  {job.progress:>3} %  {job.created_at:%Y-%m-%d %H:%M:%S}{error}"
    )


@contextmanager
def _control() -> Iterator[JobControl]:
    """The jobs of the configured database; an error is printed as one line and exits with 1."""
    read_env_file()
    url = load_settings().storage.database_url
    database = Database(url)
    try:
        migrating.upgrade(url)
        yield JobControl(database)
    except XweError as error:
        click.echo(f"xwe: {error.message}", err=True)
        sys.exit(_EXIT_FAILED)
    finally:
        database.close()
