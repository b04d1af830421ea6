"""The built-in model server: it speaks the OpenAI protocol, and fails on request.

::

    with MockServer(Behaviour(latency_s=0.1)) as server:
        ...  # server.base_url, server.script(...), server.follow(Rule(...)), server.requests

Each name is imported at its first use: `xwe mock --help` needs no web server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xwe.mock.behaviour import Behaviour, ScriptedToolCall
    from xwe.mock.embedded import MockServer
    from xwe.mock.recorder import ReceivedRequest
    from xwe.mock.rules import Rule
    from xwe.mock.sized import sized_arguments, sized_text

__all__ = [
    "Behaviour",
    "MockServer",
    "ReceivedRequest",
    "Rule",
    "ScriptedToolCall",
    "sized_arguments",
    "sized_text",
]

_HOMES = {
    "Behaviour": "xwe.mock.behaviour",
    "MockServer": "xwe.mock.embedded",
    "ReceivedRequest": "xwe.mock.recorder",
    "Rule": "xwe.mock.rules",
    "ScriptedToolCall": "xwe.mock.behaviour",
    "sized_arguments": "xwe.mock.sized",
    "sized_text": "xwe.mock.sized",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
