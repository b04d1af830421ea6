"""The sole reader of the environment, except for `AsyncConfig`, which reads it at each call.

`load_settings` turns the environment into frozen, typed groups; everything below the composition
root gets values, never names of variables. Only `env_file`, for the entry points, reads a file.
"""

from xwe.settings.exposure import check_exposure
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
)
from xwe.settings.loading import (
    ClientEnvironment,
    client_environment,
    environment_warnings,
    load_settings,
)

__all__ = [
    "AccessSettings",
    "AgentSettings",
    "CharacterSettings",
    "ChatSettings",
    "ClientEnvironment",
    "JobSettings",
    "LlmSettings",
    "ObservationSettings",
    "ProviderSettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "StreamSettings",
    "check_exposure",
    "client_environment",
    "environment_warnings",
    "load_settings",
]
