"""How a client calls: everything that the documents' constructor has no parameter for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xwe.core.concurrency.admission import Admission
from xwe.core.concurrency.rate_limit import RateLimiter
from xwe.core.nlp.breaker import CircuitBreaker
from xwe.core.nlp.cache import AnswerCache
from xwe.core.nlp.call_path import CallGuards, PhaseLimits
from xwe.core.nlp.observation import Observer, log_failure
from xwe.core.nlp.retry import RetryPolicy

SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """The settings of a client.

    Attributes:
        retry: which failures are retried.
        phases: time limits within a call.
        stream_timeout_s: limit of a whole streamed call.
        max_inflight: calls that run on the loop at once (`requests` has its threads instead).
        queue_size: calls that may wait for admission.
        breaker_failures: failures in a row that open the circuit breaker.
        breaker_reset_s: seconds until it lets a probe through.
        rpm: requests per minute to the provider; None for no limit.
        tpm: tokens per minute to the provider, estimated; None for no limit.
        cache_ttl_s: how long an answer at temperature 0 is cached; None for no cache.
        json_mode: the JSON mode that the provider supports: "schema", "object" or "none".
        reply_limit_field: the provider's name for the limit on the reply's tokens.
        request_extra: fields for the body of every request.
        observer: called at the end of each call.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    phases: PhaseLimits = field(default_factory=PhaseLimits)
    stream_timeout_s: float = 180.0
    max_inflight: int = 1000
    queue_size: int = 100
    breaker_failures: int = 5
    breaker_reset_s: float = 30.0
    rpm: int | None = None
    tpm: int | None = None
    cache_ttl_s: float | None = None
    json_mode: str = "object"
    reply_limit_field: str = "max_tokens"
    request_extra: Mapping[str, Any] = field(default_factory=dict)
    observer: Observer = log_failure

    def guards(self) -> CallGuards:
        """Fresh shared limits, for a client that calls on the loop."""
        return CallGuards(
            admission=Admission(self.max_inflight, self.queue_size, name="model calls"),
            breaker=CircuitBreaker(self.breaker_failures, self.breaker_reset_s),
            requests_per_minute=RateLimiter(self.rpm, SECONDS_PER_MINUTE) if self.rpm else None,
            tokens_per_minute=RateLimiter(self.tpm, SECONDS_PER_MINUTE) if self.tpm else None,
            cache=AnswerCache(self.cache_ttl_s) if self.cache_ttl_s else None,
        )
