"""The concurrency of an async stack for a synchronous Flask app that calls language models.

    from xwe import AsyncBridge, LLMClient, async_route, gather_with_limit, run_async_in_sync

The names are imported when they are first used: `import xwe` alone costs next to nothing and
starts nothing. `pip install xwe` is enough for all of them; tools described by a signature need
`xwe[tools]`, the OpenAI SDK's transport `xwe[openai]`, and `xwe run` `xwe[app]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xwe.core.concurrency import blocking
    from xwe.core.concurrency.bridge import AsyncBridge, async_route, run_async_in_sync
    from xwe.core.concurrency.gather import gather_with_limit
    from xwe.core.nlp.client_policy import ClientPolicy
    from xwe.core.nlp.llm_client import DeepSeek, LLMClient
    from xwe.core.nlp.retry import Backoff, RetryPolicy
    from xwe.core.nlp.tools import events
    from xwe.core.nlp.tools.agent import Agent
    from xwe.core.nlp.tools.policy import AgentPolicy
    from xwe.core.nlp.tools.progress import Progress
    from xwe.core.nlp.tools.registry import ToolRegistry
    from xwe.core.nlp.tools.tool import Tool, tool

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentPolicy",
    "AsyncBridge",
    "Backoff",
    "ClientPolicy",
    "DeepSeek",
    "LLMClient",
    "Progress",
    "RetryPolicy",
    "Tool",
    "ToolRegistry",
    "__version__",
    "async_route",
    "blocking",
    "events",
    "gather_with_limit",
    "run_async_in_sync",
    "tool",
]

_HOMES = {
    "Agent": "xwe.core.nlp.tools.agent",
    "AgentPolicy": "xwe.core.nlp.tools.policy",
    "AsyncBridge": "xwe.core.concurrency.bridge",
    "Backoff": "xwe.core.nlp.retry",
    "ClientPolicy": "xwe.core.nlp.client_policy",
    "DeepSeek": "xwe.core.nlp.llm_client",
    "LLMClient": "xwe.core.nlp.llm_client",
    "Progress": "xwe.core.nlp.tools.progress",
    "RetryPolicy": "xwe.core.nlp.retry",
    "Tool": "xwe.core.nlp.tools.tool",
    "ToolRegistry": "xwe.core.nlp.tools.registry",
    "async_route": "xwe.core.concurrency.bridge",
    "gather_with_limit": "xwe.core.concurrency.gather",
    "run_async_in_sync": "xwe.core.concurrency.bridge",
    "tool": "xwe.core.nlp.tools.tool",
}

_MODULES = {
    "blocking": "xwe.core.concurrency.blocking",
    "events": "xwe.core.nlp.tools.events",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
