"""Model calls as OpenTelemetry spans, under the names of its GenAI conventions.

Nothing is sent unless OpenTelemetry is installed (`pip install xwe[otel]`) and the process has a
tracer provider, as `opentelemetry-instrument` gives it one. A call only leaves its record; the
spans are made later, in the observation's own thread.
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
# Of calls that nobody has sent yet; the oldest give way.
MOST_KEPT = 4096

_NANOSECONDS = 1_000_000_000


class Spans:
    """Makes a span of each call.

    Args:
        provider: whose tracer is used; the process's own when None.
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - an extra: not always installed

        self._trace, self._current_context = trace, context.get_current
        self._provider = provider
        self._noted: deque[tuple[CallRecord, int, Context]] = deque(maxlen=MOST_KEPT)

    @classmethod
    def if_installed(cls) -> Self | None:
        """Spans where the OpenTelemetry API can be imported, else None."""
        # A namespace: other packages live in it, too.
        found = find_spec("opentelemetry") and find_spec("opentelemetry.trace")
        return cls() if found else None

    def note(self, record: CallRecord) -> None:
        """Remember a call that has just ended, and the span that is current here as its parent."""
        if self._tracer_provider() is not None:
            self._noted.append((record, time.time_ns(), self._current_context()))

    def send(self) -> None:
        """Make the spans of the calls noted so far."""
        provider = self._tracer_provider()
        while provider is not None and self._noted:
            self._make(provider, *self._noted.popleft())

    def _tracer_provider(self) -> "TracerProvider | None":
        if self._provider is not None:
            return self._provider
        provider = self._trace.get_tracer_provider()
        # What stands there as long as nobody has set one.
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
    """A call's span attributes; times are in seconds."""
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
