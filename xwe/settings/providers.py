"""Model providers as data: the address of each, and what it can do.

A new provider is a new row. Any other server that speaks the OpenAI protocol is `custom`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

JsonMode = Literal["schema", "object", "none"]

# Keyless servers ignore the key, but `LLMClient` and the OpenAI SDK insist on having one.
PLACEHOLDER_KEY = "not-needed"


@dataclass(frozen=True)
class Provider:
    """One provider.

    `base_url` ends before `/chat/completions` and is empty where the operator has to give it;
    `key_variable` is empty for a provider without a key variable of its own; `json_mode` is the
    strongest promise about JSON that its chat completions make; `reply_limit_field` is what it
    calls a limit on the reply's tokens; `request_extra` belongs into every request's body.
    """

    name: str
    base_url: str
    default_model: str
    key_variable: str = ""
    keyless: bool = False
    json_mode: JsonMode = "object"
    reply_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    request_extra: Mapping[str, object] = field(default_factory=dict)


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        provider.name: provider
        # In the order in which their keys are tried if LLM_PROVIDER is not set.
        for provider in (
            Provider(
                "deepseek",
                base_url="https://api.deepseek.com",
                default_model="deepseek-flash",
                key_variable="DEEPSEEK_API_KEY",
            ),
            Provider(
                "openrouter",
                base_url="https://openrouter.ai/api/v1",
                # A router's own choice outlives any model's name.
                default_model="openrouter/auto",
                key_variable="OPENROUTER_API_KEY",
            ),
            Provider(
                "openai",
                base_url="https://api.openai.com/v1",
                default_model="gpt-6-luna",
                key_variable="OPENAI_API_KEY",
                json_mode="schema",
                reply_limit_field="max_completion_tokens",
                # Its models refuse a temperature and tools while they reason.
                request_extra=MappingProxyType({"reasoning_effort": "none"}),
            ),
            Provider(
                "ollama",
                base_url="http://127.0.0.1:11434/v1",
                default_model="",
                keyless=True,
                json_mode="schema",
            ),
            Provider(
                "mock",
                # Where `xwe mock` listens; `xwe run` starts one of its own on a free port.
                base_url="http://127.0.0.1:8001/v1",
                default_model="xwe-demo",
                keyless=True,
                json_mode="schema",
            ),
            Provider("custom", base_url="", default_model="", keyless=True),
        )
    }
)

# The model to request if neither the operator nor the server names one; servers with a single
# model usually take any name.
UNNAMED_MODEL = "default"
