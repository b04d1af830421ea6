"""The ways to the provider: one port, three transports, chosen by name (LLM_TRANSPORT)."""

from importlib import import_module
from typing import cast

from xwe.core.nlp.transports.port import AsyncTransport, BlockingTransport
from xwe.errors import SettingsError

__all__ = ["AsyncTransport", "BlockingTransport", "open_async_transport", "open_blocking_transport"]

# Where each one is. Its library (0.3 to 0.7 s) is imported when it is opened, not before.
_ASYNC = {
    "aiohttp": ("aiohttp_transport", "AiohttpTransport"),
    "openai": ("openai_transport", "OpenAITransport"),
}
_BLOCKING = {"requests": ("requests_transport", "RequestsTransport")}


def open_async_transport(
    name: str, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
) -> AsyncTransport:
    """The transport of this name that is native on the resident loop; nothing is connected yet.

    Raises:
        SettingsError: there is none of this name, or the endpoint or key cannot be used.
    """
    transport = _class_of(_ASYNC, name)(endpoint, api_key, connect_s=connect_s, pool_size=pool_size)
    return cast("AsyncTransport", transport)


def open_blocking_transport(
    name: str, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 10
) -> BlockingTransport:
    """The transport of this name that is native in a thread; nothing is connected yet.

    Raises:
        SettingsError: there is none of this name, or the endpoint or key cannot be used.
    """
    transport = _class_of(_BLOCKING, name)(
        endpoint, api_key, connect_s=connect_s, pool_size=pool_size
    )
    return cast("BlockingTransport", transport)


def _class_of(table: dict[str, tuple[str, str]], name: str) -> type:
    if name not in table:
        raise SettingsError("LLM_TRANSPORT", name, "one of " + ", ".join([*_BLOCKING, *_ASYNC]))
    module, class_name = table[name]
    found: type = getattr(import_module(f"{__name__}.{module}"), class_name)
    return found
