"""Databases and sides for the chats' tests."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from chat_sides import QUICK, SOON_S, Side

from xwe.services.chats import replay, service


@pytest.fixture
def database_url(sqlite_url):
    return sqlite_url


@pytest.fixture
def new_side(database_url, mock_server, monkeypatch):
    # A busy machine takes its time, also between following an answer and reading it.
    monkeypatch.setattr(service, "END_WITHIN_S", SOON_S)
    monkeypatch.setattr(replay, "UNREAD_S", 3600.0)
    with contextlib.ExitStack() as stack:

        def open_side(url=database_url, times=QUICK, **options):
            side = Side(url, mock_server, times, **options)
            stack.callback(side.close)
            return side

        mock_server.reset()
        yield open_side


@pytest.fixture
def side(new_side):
    return new_side()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(64, thread_name_prefix="test") as pool:
        yield pool
