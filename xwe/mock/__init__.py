"""The built-in model server: it speaks the OpenAI protocol, and fails on request.

::

    with MockServer(Behaviour(latency_s=0.1)) as server:
        ...  # server.base_url, server.script(...), server.requests
"""

from xwe.mock.behaviour import Behaviour, ScriptedToolCall
from xwe.mock.embedded import MockServer
from xwe.mock.recorder import ReceivedRequest

__all__ = ["Behaviour", "MockServer", "ReceivedRequest", "ScriptedToolCall"]
