"""The one hook that observes model calls, and the frozen record that it receives.

The record says how a call went; it never holds a prompt, a reply or a key.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from xwe.core.nlp.completion import Timings, Usage

log = logging.getLogger("xwe.llm")

request_id: ContextVar[str] = ContextVar("xwe_request_id", default="-")
"""Id of the HTTP request for which the current code runs; "-" outside of one."""

user_id: ContextVar[str] = ContextVar("xwe_user_id", default="-")
"""Id of the user for whom the current code runs; "-" if there is none."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """How one model call went.

    Attributes:
        provider: host and port of the endpoint.
        model: the provider's name for the model.
        kind: "whole" or "streamed".
        outcome: "ok", "cancelled", or the error's `code`.
        detail: the error's message for operators; "" if there was no error.
        timings: where the time went.
        usage: the provider's token counts, if it sent any.
        request_id: of the HTTP request that made the call.
        user_id: of the user who made it.
    """

    provider: str
    model: str
    kind: str
    outcome: str
    detail: str
    timings: Timings
    usage: Usage | None
    request_id: str
    user_id: str


Observer = Callable[[CallRecord], None]


_LINE = (
    "model call outcome=%s provider=%s model=%s kind=%s attempts=%d queue_s=%.3f total_s=%.3f "
    "request_id=%s user_id=%s%s"
)


def log_failure(record: CallRecord) -> None:
    """Log a warning for a call that failed; the default observer."""
    if record.outcome not in {"ok", "cancelled"}:
        _log(logging.WARNING, record)


def log_every_call(record: CallRecord) -> None:
    """Log every call, with a warning for one that failed; for `LLMClient(debug=True)`."""
    _log(logging.INFO if record.outcome in {"ok", "cancelled"} else logging.WARNING, record)


def _log(level: int, record: CallRecord) -> None:
    timings = record.timings
    log.log(
        level,
        _LINE,
        record.outcome,
        record.provider,
        record.model,
        record.kind,
        timings.attempts,
        timings.queue_s,
        timings.total_s,
        record.request_id,
        record.user_id,
        f": {record.detail}" if record.detail else "",
    )
