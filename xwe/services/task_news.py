"""How far jobs are, as their users see it, and the news of it."""

from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from xwe.storage.records import Job, JobState
from xwe.streams.notifications import Notifications

TaskStatus = Literal["pending", "running", "done", "error", "cancelled"]

_STATUS_BY_STATE: dict[JobState, TaskStatus] = {
    "queued": "pending",
    "running": "running",
    "done": "done",
    "dead": "error",
    "cancelled": "cancelled",
}
FINAL_STATUSES: frozenset[TaskStatus] = frozenset({"done", "error", "cancelled"})


def task_view(job: Job) -> dict[str, Any]:
    """A job as the HTTP API shows it, in JSON's types.

    `categories` has the parts' states alone, `detail` all that is noted about them: the job's
    detail maps a part's name to its state, or to an object with a `state`.
    """
    view: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "status": _STATUS_BY_STATE[job.state],
        "progress": job.progress,
        "message": job.message,
        "categories": {
            name: noted.get("state") if isinstance(noted, dict) else noted
            for name, noted in job.detail.items()
        },
        "detail": job.detail,
        "attempts": job.attempts,
        "elapsed_sec": round(_elapsed_s(job), 1),
        "created_at": job.created_at.isoformat(),
    }
    if job.state == "done":
        view["result"] = job.result
    if job.error is not None and job.state != "done":
        view["error"] = job.error
    return view


def _elapsed_s(job: Job) -> float:
    return max(0.0, ((job.finished_at or datetime.now(UTC)) - job.created_at).total_seconds())


class TaskNews:
    """Tells a job's user how far it is, wherever they listen in this process."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def tell(self, job: Job) -> None:
        """Tell of the job as it stands; to be called after the commit."""
        if job.user_id is not None:
            news = {"type": "task", "task": task_view(job)}
            self._notifications.publish(str(job.user_id), orjson.dumps(news))
