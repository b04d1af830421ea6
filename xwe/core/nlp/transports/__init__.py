"""The transports to the provider, chosen by name (LLM_TRANSPORT)."""

from importlib import import_module
from typing import Any

from xwe.core.nlp.transports.port import AsyncTransport, BlockingTransport
from xwe.errors import SettingsError

__all__ = ["AsyncTransport", "BlockingTransport", "open_transport"]

# Its library (0.3 to 0.7 s) is imported when it is opened, not before.
_TRANSPORTS = {
    "requests": ("requests_transport", "RequestsTransport"),
    "aiohttp": ("aiohttp_transport", "AiohttpTransport"),
    "openai": ("openai_transport", "OpenAITransport"),
}


def open_transport(
    name: str, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
) -> Any:
    """The transport of this name, an `AsyncTransport` or a `BlockingTransport`; not connected yet.

    Raises:
        SettingsError: there is none of this name, or the endpoint or key cannot be used.
    """
    if name not in _TRANSPORTS:
        raise SettingsError("LLM_TRANSPORT", name, "one of " + ", ".join(_TRANSPORTS))
    module, class_name = _TRANSPORTS[name]
    transport = getattr(import_module(f"{__name__}.{module}"), class_name)
    return transport(endpoint, api_key, connect_s=connect_s, pool_size=pool_size)
