"""Agents of a scripted model."""

import contextlib

import pytest
from scripted_model import ScriptedModel

from xwe.core.nlp.tools.agent import Agent


@pytest.fixture
def model():
    return ScriptedModel()


@pytest.fixture
def agent_of(model):
    """Makes agents of the scripted model, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(*tools, **options):
            agent = Agent(model, tools, **options)
            stack.callback(agent.close)
            return agent

        yield make
