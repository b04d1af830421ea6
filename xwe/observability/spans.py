"""Model calls as OpenTelemetry spans, named by its GenAI conventions.

Nothing is sent unless OpenTelemetry is installed (`pip install xwe[otel]`) and the process has a
tracer provider, for example from `opentelemetry-instrument`. A call only queues its record; the
observation's thread makes the spans later.
"""

import time
from collections import deque
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from xwe.core.nlp.observation import CallRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

SCOPE = "xwe"
# The most calls that wait to be sent; the oldest are dropped first.
MOST_WAITING = 4096

_NANOSECONDS = 1_000_000_000


class Spans:
    """Makes a span for each call.

    Args:
        provider: the tracer provider; None for that of the process.
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - an extra: not always installed

        self._trace, self._current_context = trace, context.get_current
        self._provider = provider
        self._waiting: deque[tuple[CallRecord, int, Context]] = deque(maxlen=MOST_WAITING)

    @classmethod
    def if_installed(cls) -> Self | None:
        """Spans where the OpenTelemetry API can be imported, else None."""
        # It is a namespace that other packages use, too.
        found = find_spec("opentelemetry") and find_spec("opentelemetry.trace")
        return cls() if found else None

    def note(self, record: CallRecord) -> None:
        """Queue a call that has just ended, with the current span as its parent."""
        if self._tracer_provider() is not None:
            self._waiting.append((record, time.time_ns(), self._current_context()))

    def send(self) -> None:
        """Make the spans of the queued calls."""
        provider = self._tracer_provider()
        while provider is not None and self._waiting:
            self._make(provider, *self._waiting.popleft())

    def _tracer_provider(self) -> "TracerProvider | None":
        if self._provider is not None:
            return self._provider
        provider = self._trace.get_tracer_provider()
        # The placeholder until a provider is set.
        return None if isinstance(provider, self._trace.ProxyTracerProvider) else provider

    def _make(
        self, provider: "TracerProvider", record: CallRecord, ended_ns: int, parent: "Context"
    ) -> None:
        span = provider.get_tracer(SCOPE).start_span(
            f"chat {record.model}",
            context=parent,
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes_of(record),
            start_time=ended_ns - int(record.timings.total_s * _NANOSECONDS),
        )
        if record.outcome not in {"ok", "cancelled"}:
            status = self._trace.Status(self._trace.StatusCode.ERROR, record.detail)
            span.set_status(status)
        span.end(ended_ns)


def attributes_of(record: CallRecord) -> dict[str, Any]:
    """The span attributes of a call; times in seconds."""
    host, _, port = record.provider.rpartition(":")
    has_port = bool(host) and port.isdigit()
    timings = record.timings
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": host if has_port else record.provider,
        "gen_ai.request.model": record.model,
        "server.address": host if has_port else record.provider,
        "xwe.kind": record.kind,
        "xwe.attempts": timings.attempts,
        "xwe.queue_s": timings.queue_s,
        "xwe.request_id": record.request_id,
    }
    if has_port:
        attributes["server.port"] = int(port)
    if timings.first_token_s is not None:
        attributes["xwe.first_token_s"] = timings.first_token_s
    if record.usage is not None:
        attributes["gen_ai.usage.input_tokens"] = record.usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = record.usage.completion_tokens
    if record.outcome != "ok":
        attributes["error.type"] = record.outcome
    return attributes
