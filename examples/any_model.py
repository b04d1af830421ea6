"""The model that the examples ask: the one at LLM_BASE_URL, else the built-in demo model.

Not an example itself. It is here so that each example says `LLMClient()`, as your own code would.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xwe.mock import Behaviour, MockServer


@contextmanager
def any_model(**behaviour: Any) -> Iterator[None]:
    """Whatever LLM_BASE_URL names; where it is not set, a demo model that behaves as told."""
    if os.environ.get("LLM_BASE_URL"):
        os.environ.setdefault("LLM_API_KEY", "no-key-needed")
        yield
        return
    with demo_model(**behaviour):
        yield


@contextmanager
def demo_model(**behaviour: Any) -> Iterator[MockServer]:
    """The demo model in any case: for what a real one does not do on request, such as failing."""
    before = dict(os.environ)
    with MockServer(Behaviour(**behaviour)) as server:
        os.environ |= {"LLM_BASE_URL": server.base_url, "LLM_API_KEY": "no-key-needed"}
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ |= before
