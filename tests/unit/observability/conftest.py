"""Records of calls that never happened, and an observation of a client that does nothing."""

import pytest

from xwe.core.nlp.completion import Timings, Usage
from xwe.core.nlp.observation import CallRecord
from xwe.observability.observation import Observation

NOW = 1_000_002.0
IDLE_CLIENT = {"admission": None, "executor": None, "breaker": "closed", "retries_left": 10.0}


@pytest.fixture
def record():
    """Makes a record; keyword arguments are the timings."""

    def make(outcome="ok", model="m", usage=None, **timings):
        return CallRecord(
            "provider:1",
            model,
            "whole",
            outcome,
            "why" if outcome not in {"ok", "cancelled"} else "",
            Timings(**({"total_s": 1.0} | timings)),
            Usage(*usage) if usage else None,
            "request-1",
            "user-1",
        )

    return make


@pytest.fixture
def idle_client():
    return IDLE_CLIENT


@pytest.fixture
def observation():
    # Its clock stands still: what belongs together falls into one step.
    it = Observation(clock=lambda: NOW)
    it.watch(lambda: IDLE_CLIENT)
    yield it
    it.close()
