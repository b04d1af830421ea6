"""The composition root: settings go in, services come out; nothing else wires."""

from dataclasses import dataclass, field

from xwe.core.nlp.call_path import PhaseLimits
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.llm_client import CHAT_COMPLETIONS, LLMClient
from xwe.core.nlp.retry import RetryPolicy
from xwe.observability.observation import Observation
from xwe.observability.spans import Spans
from xwe.settings import Settings
from xwe.streams.live_streams import LiveStreams, StreamLimits
from xwe.streams.notifications import Notifications


@dataclass(frozen=True, slots=True)
class Services:
    """What the web, the worker and the command line work with."""

    settings: Settings
    client: LLMClient
    streams: LiveStreams
    observation: Observation
    notifications: Notifications = field(default_factory=Notifications)

    def close(self) -> None:
        """Release what the services hold. Idempotent."""
        self.streams.shut_down()
        self.client.cleanup()
        self.observation.close()


def build_services(settings: Settings) -> Services:
    """Wire the application; nothing is started and no connection is made."""
    provider, llm = settings.provider, settings.llm
    observation = Observation(spans=Spans.if_installed())
    client = LLMClient(
        api_key=provider.api_key,
        api_url=provider.base_url + CHAT_COMPLETIONS,
        model_name=provider.model,
        timeout=llm.timeout_s,
        transport=llm.transport,
        policy=ClientPolicy(
            retry=RetryPolicy(max_attempts=llm.max_retries),
            phases=PhaseLimits(
                connect_s=llm.connect_timeout_s,
                first_token_s=llm.first_token_timeout_s,
                idle_s=llm.idle_timeout_s,
            ),
            stream_timeout_s=llm.stream_timeout_s,
            max_inflight=llm.max_inflight,
            queue_size=llm.queue_size,
            breaker_failures=llm.breaker_failures,
            breaker_reset_s=llm.breaker_reset_s,
            rpm=llm.rpm,
            tpm=llm.tpm,
            cache_ttl_s=llm.cache_ttl_s,
            json_mode=provider.json_mode,
            reply_limit_field=provider.reply_limit_field,
            request_extra=provider.request_extra,
            observer=observation.observe_call,
        ),
    )
    observation.watch(client.stats)
    streams = LiveStreams(
        StreamLimits(
            max_running=llm.max_inflight,
            keep_s=settings.streams.keep_s,
            on_disconnect=settings.streams.on_disconnect,
            alone_s=settings.streams.alone_s,
        )
    )
    return Services(settings=settings, client=client, streams=streams, observation=observation)
