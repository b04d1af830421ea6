"""The model that the examples ask: the one at LLM_BASE_URL, else the built-in demo model.

Not an example itself. With it, each example can call `LLMClient()`, as your own code would.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xwe.mock import Behaviour, MockServer


@contextmanager
def any_model(**behaviour: Any) -> Iterator[None]:
    """The model that LLM_BASE_URL names; if it is not set, a demo model with this behaviour."""
    if os.environ.get("LLM_BASE_URL"):
        os.environ.setdefault("LLM_API_KEY", "no-key-needed")
        yield
        return
    with demo_model(**behaviour):
        yield


@contextmanager
def demo_model(**behaviour: Any) -> Iterator[MockServer]:
    """Always the demo model: a real one does not fail on request."""
    before = dict(os.environ)
    with MockServer(Behaviour(**behaviour)) as server:
        os.environ |= {"LLM_BASE_URL": server.base_url, "LLM_API_KEY": "no-key-needed"}
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ |= before
