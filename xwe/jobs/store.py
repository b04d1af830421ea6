"""The port to where jobs are kept: what a runner asks of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol


class TakenJob(Protocol):
    """A job that a runner has taken. It is also the right to write: see `JobStore`."""

    @property
    def id(self) -> int:
        """Its name; the same at each attempt."""

    @property
    def kind(self) -> str:
        """Which handler does it."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """What is to be done."""

    @property
    def user_id(self) -> int | None:
        """For whom."""

    @property
    def attempts(self) -> int:
        """How often it has been taken, with this time."""

    @property
    def detail(self) -> Mapping[str, Any]:
        """What earlier attempts have noted with their progress."""


class JobStore(Protocol):
    """Jobs in durable rows. Every method blocks, and is called from several threads.

    A write with a job that has been taken by another runner since changes nothing, and says so:
    False, or None.

    Raises (from every method): DatabaseUnavailableError: the same call may work later.
    """

    def is_any_due(self, kinds: Sequence[str], at: datetime) -> bool:
        """Whether there is work; it takes no lock."""

    def take(self, kinds: Sequence[str], *, owner: str, lease_until: datetime) -> TakenJob | None:
        """The next job that is due, now `owner`'s; None where there is none."""

    def look(self, taken: TakenJob) -> bool | None:
        """Whether it is to be cancelled; None when it is another runner's."""

    def renew(self, taken: TakenJob, lease_until: datetime) -> bool | None:
        """Prolong the lease; the answer is `look`'s."""

    def give_back(self, taken: TakenJob) -> bool:
        """Let another runner take it at once."""

    def tell(self, taken: TakenJob) -> None:
        """Tell whoever listens how it stands, since it has been changed by others than this."""

    def progress(
        self,
        taken: TakenJob,
        *,
        percent: int,
        message: str,
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say how far it is; `detail`'s keys join those that are there."""

    def finish(self, taken: TakenJob, result: Any) -> bool:
        """It is done."""

    def fail(self, taken: TakenJob, error: str, *, retry_at: datetime | None) -> bool:
        """It went wrong: due again at `retry_at`; parked when that is None, or too often."""

    def cancelled(self, taken: TakenJob) -> bool:
        """It has been stopped, as was asked."""
