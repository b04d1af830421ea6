"""Canary secrets through everything that is stored; no byte of the database shows them.

The files themselves are searched, the journal included, not what a query would return.
"""

import json
from urllib.parse import quote

import pytest
from indiscreet_upstream import KEY, SHAPES, STATUS_LINES, IndiscreetUpstream
from owned_things import PASSWORD as OLD_PASSWORD
from owned_things import Person

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.repositories import characters

PASSWORD = "canary password of nobody"
PROVIDER = {"LLM_PROVIDER": "custom", "LLM_MODEL": "m", "LLM_API_KEY": KEY, "XWE_ACCESS": "login"}
QUICK = {
    "LLM_FIRST_TOKEN_TIMEOUT": "0.5",
    "LLM_IDLE_TIMEOUT": "0.5",
    "LLM_ASYNC_TIMEOUT": "2",
    "LLM_STREAM_TIMEOUT": "2",
    "XWE_MAX_LLM_RETRIES": "1",
    "LLM_BREAKER_FAILURES": "100000",
    "XWE_USER_RPM": "100000",
    "XWE_SIGNUP": "open",
}
ROLE = "孙悟空"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "database"


@pytest.fixture
def database_url(folder):
    folder.mkdir()
    return f"sqlite:///{folder}/xwe.db"


def stored(folder):
    """Every byte that the database has on disk."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def assert_hidden(folder, *secrets):
    written = stored(folder)
    for secret in secrets:
        in_json = json.dumps(secret)[1:-1].encode()
        for part in (secret.encode(), in_json, secret[:16].encode(), secret[-16:].encode()):
            assert part not in written


def test_the_models_key_is_not_stored_whatever_the_model_says(serve, database_url, folder, wire):
    """Turns and a character's making, while the upstream repeats the key in all it can."""
    upstream = IndiscreetUpstream(wire)
    server = serve(
        **PROVIDER, **QUICK, LLM_BASE_URL=upstream.base_url, XWE_DATABASE_URL=database_url
    )
    database = Database(database_url)
    ada = Person(server.url, database, "ada")
    with database.write() as writing:
        characters.create(writing, user_id=ada.account.id, name=ROLE)
    chat = f"/api/chat/{quote(ROLE)}"
    for number, _ in enumerate(upstream.ways()):
        for route in ("stream", "messages"):
            assert ada.ask("POST", f"{chat}/{route}", json={"content": f"{route} {number}"}).content
    made = {"role": "李白", "source": "text", "text": "李白是诗人。"}
    upstream.refuse()
    task = ada.ask("POST", "/api/characters", json=made).json()["task_id"]
    assert ada.ask("GET", f"/api/tasks/{task}/events").text.endswith("data: [DONE]\n\n")
    said = ada.ask("GET", f"{chat}/messages?limit=100").json()["messages"]
    assert len(said) > len(STATUS_LINES)
    assert all(KEY.encode() in request for request in upstream.requests)
    assert len(upstream.requests) > len(STATUS_LINES) * len(SHAPES)
    ada.close()
    assert b"stream 3" in stored(folder)
    assert_hidden(folder, KEY)
    assert server.stop() == 0
    database.close()
    assert_hidden(folder, KEY)


def test_what_opens_an_account_is_not_stored(serve, database_url, folder, mock_server):
    """Neither a password, nor a session, nor a program's token: only what can check them."""
    mock_server.script(Behaviour(text="好"))
    server = serve(XWE_DATABASE_URL=database_url)
    ada = Person(server.url, None, "ada")
    change = {"old": OLD_PASSWORD, "new": PASSWORD}
    assert ada.ask("POST", "/auth/password", json=change).ok
    token = ada.ask("POST", "/api/me/tokens", json={"name": "script"}).json()["token"]
    session = ada.session.cookies["xwe_session"]
    assert b"ada" in stored(folder)
    assert_hidden(folder, PASSWORD, token, session)
    ada.close()
