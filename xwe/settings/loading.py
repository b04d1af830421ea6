"""From the environment to settings: pure functions of a mapping of names to texts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from xwe.errors import SettingsError
from xwe.settings.groups import (
    AccessSettings,
    AgentSettings,
    CharacterSettings,
    ChatSettings,
    JobSettings,
    LlmSettings,
    ObservationSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    StreamSettings,
    UserSettings,
)
from xwe.settings.providers import PLACEHOLDER_KEY, PROVIDERS, UNNAMED_MODEL, Provider
from xwe.settings.variables import VARIABLES

# Threads that no call or stream may take, so that health checks, pages and refusals always find
# one. A refusal takes well under a millisecond, so few are enough.
SPARE_THREADS = 16

# A person who reads the answers does not send more than one request a second.
USER_RPM = 60

# Our variables that are not settings of the application.
_NOT_SETTINGS = frozenset({"XWE_REQUIRE_SERVICES"})

_BY_NAME = {variable.name: variable for variable in VARIABLES}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that `environ` (the process's own, unless given) describes.

    Nothing is read but `environ`, and nothing is started or written.

    Raises:
        SettingsError: a variable has a value that cannot be used, or two do not fit together.
    """
    source = os.environ if environ is None else environ
    values = {name: variable.read(source) for name, variable in _BY_NAME.items()}
    given = frozenset(name for name in values if source.get(name, "").strip())
    provider = _provider(values)
    return Settings(
        server=ServerSettings(**_group(values, "server")),
        access=AccessSettings(
            mode=values["XWE_ACCESS"] or ("open" if provider.is_demo else "login"),
            signup=values["XWE_SIGNUP"] or ("open" if provider.is_demo else "closed"),
            registrations_per_hour=values["XWE_REGISTRATIONS_PER_HOUR"],
            api_token=values["XWE_API_TOKEN"],
        ),
        users=UserSettings(
            **_group(values, "users") | {"requests_per_minute": _user_rpm(values, provider)}
        ),
        provider=provider,
        llm=LlmSettings(**_group(values, "llm") | {"max_inflight": _max_inflight(values)}),
        streams=StreamSettings(**_group(values, "streams")),
        agent=AgentSettings(**_group(values, "agent") | {"tools": values["XWE_TOOLS"] or ()}),
        storage=StorageSettings(**_group(values, "storage")),
        chats=ChatSettings(**_group(values, "chats")),
        characters=CharacterSettings(**_group(values, "characters")),
        jobs=JobSettings(**_group(values, "jobs")),
        observation=ObservationSettings(**_group(values, "observation")),
        given=given,
    )


def _group(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    return {
        _BY_NAME[name].field.partition(".")[2]: value
        for name, value in values.items()
        if _BY_NAME[name].section == group
    }


def _user_rpm(values: Mapping[str, Any], provider: ProviderSettings) -> int | None:
    # The demo model costs nothing, and the playground sends a hundred requests a minute.
    wanted: int | None = values["XWE_USER_RPM"]
    return wanted or (None if provider.is_demo else USER_RPM)


def _provider(values: Mapping[str, Any]) -> ProviderSettings:
    provider = PROVIDERS[values["LLM_PROVIDER"] or _provider_by_key(values)]
    address = values["LLM_BASE_URL"] or provider.base_url
    if not address:
        raise SettingsError("LLM_PROVIDER", provider.name, "it needs LLM_BASE_URL")
    return ProviderSettings(
        name=provider.name,
        base_url=address,
        model=values["LLM_MODEL"] or provider.default_model or UNNAMED_MODEL,
        json_mode=values["LLM_JSON_MODE"] or provider.json_mode,
        is_demo=provider.name == "mock",
        reply_limit_field=provider.reply_limit_field,
        request_extra=provider.request_extra,
        api_key=_api_key(values, provider),
    )


def _provider_by_key(values: Mapping[str, Any]) -> str:
    for provider in PROVIDERS.values():
        if provider.key_variable and values[provider.key_variable]:
            return provider.name
    if values["LLM_BASE_URL"]:
        return "custom"
    if values["LLM_API_KEY"]:
        # Falling back to the demo model would hide that the key is not used.
        raise SettingsError(
            "LLM_PROVIDER", "", f"LLM_API_KEY is for one of {', '.join(PROVIDERS)}: say which"
        )
    return "mock"


def _api_key(values: Mapping[str, Any], provider: Provider) -> str:
    if provider.name == "mock":
        return PLACEHOLDER_KEY  # a real key must not reach the demo model
    own = values[provider.key_variable] if provider.key_variable else None
    key: str | None = values["LLM_API_KEY"] or own
    if key:
        return key
    if provider.keyless:
        return PLACEHOLDER_KEY
    raise SettingsError(
        "LLM_PROVIDER", provider.name, f"it needs a key in {provider.key_variable} or LLM_API_KEY"
    )


def _max_inflight(values: Mapping[str, Any]) -> int:
    """The number of calls that may run while enough threads are left to refuse and report.

    Every open request holds a thread of its worker: the calls that run, those that wait, and the
    streams without a call. Admission is per worker, as the threads are.
    """
    threads = values["XWE_WEB_THREADS"]
    queue, streams = values["LLM_ASYNC_QUEUE_SIZE"], values["XWE_MAX_STREAMS"]
    free = threads - queue - streams - SPARE_THREADS
    others = f"LLM_ASYNC_QUEUE_SIZE={queue}, XWE_MAX_STREAMS={streams} and {SPARE_THREADS} spare"
    if free < 1:
        needed = queue + streams + SPARE_THREADS + 1
        raise SettingsError(
            "XWE_WEB_THREADS", str(threads), f"at least {needed}, for {others} leave no thread free"
        )
    limited = "LLM_ASYNC_WORKERS" if values["LLM_TRANSPORT"] == "requests" else "LLM_MAX_INFLIGHT"
    wanted = values[limited]
    if wanted is not None and wanted > free:
        raise SettingsError(
            limited, str(wanted), f"at most {free}: XWE_WEB_THREADS={threads} less {others}"
        )
    return int(values["LLM_MAX_INFLIGHT"] or free)


@dataclass(frozen=True)
class ClientEnvironment:
    """What the environment says about a bare `LLMClient()`; None where it says nothing."""

    base_url: str | None
    model: str | None
    transport: str | None
    max_retries: int | None
    api_key: str | None = field(repr=False)


def client_environment(environ: Mapping[str, str] | None = None) -> ClientEnvironment:
    """The variables that a bare `LLMClient()` uses; its provider is DeepSeek by default.

    LLM_API_KEY counts only if it clearly belongs to the address that is called: with LLM_BASE_URL,
    or with LLM_PROVIDER=deepseek.

    Raises:
        SettingsError: one of them has a value that cannot be used.
    """
    source = os.environ if environ is None else environ
    address = _BY_NAME["LLM_BASE_URL"].read(source)
    own_key = _BY_NAME["DEEPSEEK_API_KEY"].read(source)
    general_key = _BY_NAME["LLM_API_KEY"].read(source)
    is_ours = address is not None or _BY_NAME["LLM_PROVIDER"].read(source) == "deepseek"
    return ClientEnvironment(
        base_url=address,
        model=_BY_NAME["LLM_MODEL"].read(source),
        transport=_if_set("LLM_TRANSPORT", source),
        max_retries=_if_set("XWE_MAX_LLM_RETRIES", source),
        api_key=(general_key if is_ours else None) or own_key,
    )


def _if_set(name: str, source: Mapping[str, str]) -> Any:
    return _BY_NAME[name].read(source) if source.get(name, "").strip() else None


def environment_warnings(environ: Mapping[str, str] | None = None) -> list[str]:
    """One line for each variable that looks like a setting and has no effect."""
    source = os.environ if environ is None else environ
    lines = []
    for name in sorted(source):
        if name.startswith(("XWE_", "LLM_")) and name not in {*_BY_NAME, *_NOT_SETTINGS}:
            nearest = get_close_matches(name, _BY_NAME, n=1, cutoff=0.6)
            hint = f" Did you mean {nearest[0]}?" if nearest else " See `xwe config`."
            lines.append(f"{name} is not a setting of xwe.{hint}")
    return lines
