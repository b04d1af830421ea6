"""A model server, and workshops at an empty database."""

import contextlib

import pytest
from character_workshop import Workshop

from xwe.mock import MockServer


@pytest.fixture
def model():
    with MockServer() as server:
        yield server


@pytest.fixture
def open_workshop(model, sqlite_url):
    with contextlib.ExitStack() as stack:

        def opener(**options):
            workshop = Workshop(sqlite_url, model, **options)
            stack.callback(workshop.close)
            return workshop

        yield opener


@pytest.fixture
def workshop(open_workshop):
    return open_workshop()
