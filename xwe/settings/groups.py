"""The settings as the code sees them: small frozen groups, with units in their names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xwe.settings.describing import Row, describe
from xwe.settings.providers import JsonMode


@dataclass(frozen=True)
class ServerSettings:
    """The web server: where it listens, and its limits."""

    host: str
    port: int
    workers: int
    threads: int
    drain_s: float
    max_body_bytes: int
    keepalive_s: int
    send_timeout_s: float
    trusted_proxies: int
    access_log: bool
    keep_core: bool


@dataclass(frozen=True)
class AccessSettings:
    """Who may call. `registrations_per_hour` is 0 for no limit."""

    mode: Literal["open", "login"]
    signup: Literal["open", "closed"]
    registrations_per_hour: int
    api_token: str | None = field(repr=False)


@dataclass(frozen=True)
class UserSettings:
    """What one user may use. `requests_per_minute` is None for no limit."""

    requests_per_minute: int | None
    running_streams: int
    jobs: int
    characters: int
    prompt_bytes: int


@dataclass(frozen=True)
class ProviderSettings:
    """Which model answers. `is_demo` is True for the built-in model server and nothing else."""

    name: str
    base_url: str
    model: str
    json_mode: JsonMode
    is_demo: bool
    reply_limit_field: str
    request_extra: Mapping[str, object]
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class LlmSettings:
    """How the model is called. None for `rpm`, `tpm`: no limit; for `cache_ttl_s`: no cache."""

    transport: Literal["aiohttp", "requests", "openai"]
    async_workers: int
    queue_size: int
    timeout_s: float
    enabled: bool
    max_inflight: int
    max_retries: int
    connect_timeout_s: float
    first_token_timeout_s: float
    idle_timeout_s: float
    stream_timeout_s: float
    rpm: int | None
    tpm: int | None
    breaker_failures: int
    breaker_reset_s: float
    cache_ttl_s: float | None


@dataclass(frozen=True)
class StreamSettings:
    """Answers that are sent piece by piece."""

    flush_ms: int
    on_disconnect: Literal["detach", "cancel"]
    max_open: int
    keep_s: float
    alone_s: float
    heartbeat_s: float


@dataclass(frozen=True)
class AgentSettings:
    """Turns in which the model calls tools. `tools` are names like package.module:attribute."""

    tools: tuple[str, ...]
    turn_timeout_s: float
    tool_threads: int


@dataclass(frozen=True)
class StorageSettings:
    """Where things are stored."""

    database_url: str = field(repr=False)
    database_pool_size: int
    database_timeout_s: float
    keep_deleted_days: int


@dataclass(frozen=True)
class ChatSettings:
    """The leases and checks of stored chats, and how much of them goes into a prompt."""

    lease_s: float
    snapshot_s: float
    reap_s: float
    history_tokens: int


@dataclass(frozen=True)
class CharacterSettings:
    """How characters are written. `prompts_dir` is None to use the built-in prompts only."""

    prompts_dir: Path | None


@dataclass(frozen=True)
class JobSettings:
    """Background jobs."""

    workers: int
    lease_s: float


@dataclass(frozen=True)
class ObservationSettings:
    """Logs and metrics."""

    prometheus: bool
    log_level: str
    log_format: Literal["json", "text"]


@dataclass(frozen=True)
class Settings:
    """All settings, checked and typed. `given` names the variables that were set."""

    server: ServerSettings
    access: AccessSettings
    users: UserSettings
    provider: ProviderSettings
    llm: LlmSettings
    streams: StreamSettings
    agent: AgentSettings
    storage: StorageSettings
    chats: ChatSettings
    characters: CharacterSettings
    jobs: JobSettings
    observation: ObservationSettings
    given: frozenset[str]

    def describe(self) -> list[Row]:
        """One row for each variable, with its current value; secrets are masked."""
        return describe(self, self.given)
