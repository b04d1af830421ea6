"""A canary key through everything that can go wrong with a model; nothing that we write shows it.

`test_observability_secrets.py` has the server's own token and the prompts; here are all faults
that the model server knows, and an upstream that repeats the key in every place it can.
"""

import contextlib
import subprocess
import sys
from typing import get_args

import pytest
import requests
from indiscreet_upstream import KEY, IndiscreetUpstream

from xwe.mock import Behaviour
from xwe.mock.behaviour import Fault

PROVIDER = {"LLM_PROVIDER": "custom", "LLM_MODEL": "m", "LLM_API_KEY": KEY, "XWE_ACCESS": "open"}
QUICK = {
    "LLM_FIRST_TOKEN_TIMEOUT": "0.3",
    "LLM_IDLE_TIMEOUT": "0.3",
    "LLM_ASYNC_TIMEOUT": "1",
    "LLM_STREAM_TIMEOUT": "1",
    "XWE_MAX_LLM_RETRIES": "1",
    "XWE_ACCESS_LOG": "false",
    "LOG_LEVEL": "DEBUG",
}
SIZES = {"huge_body": 17_000_000, "huge_line": 2_000_000}
STATUSES = [400, 401, 403, 404, 408, 429, 500, 502, 503, 529]
ROUTES = [
    ("/api/llm/chat", {"message": "hi"}),
    ("/api/llm/batch", {"prompts": ["hi", "ho"]}),
    ("/api/llm/stream", {"message": "hi"}),
    ("/chat", {"prompt": "hi"}),
]


def behaviours(fault):
    """The fault at its start and in the middle, and with every status."""
    echo = f"<title>{KEY}</title>" if fault == "html" else f'{{"error": {{"message": "{KEY}"}}}}'
    quotes = echo if fault in {"html", "malformed_json", "wrong_type"} else None
    common = {"fault": fault, "size_bytes": SIZES.get(fault), "broken_text": quotes}
    if fault == "status":
        return [Behaviour(**common, status=status, error_code=KEY) for status in STATUSES]
    return [Behaviour(**common, after_pieces=pieces, interval_s=0.2) for pieces in (0, 2)]


@pytest.fixture(params=["aiohttp", "requests", "openai"], scope="module")
def transport(request):
    return request.param


@pytest.fixture(scope="module")
def server(transport, serve):
    return serve(**PROVIDER, **QUICK, LLM_TRANSPORT=transport, LLM_BREAKER_FAILURES="100000")


def told(server, path, said):
    """Everything that a caller is sent back."""
    try:
        reply = requests.post(server.url + path, json=said, timeout=20)
    except requests.exceptions.ChunkedEncodingError as error:
        return str(error)  # plain text that was cut off
    return f"{reply.status_code} {reply.headers} {reply.text}"


def everything_written(server):
    figures = [
        requests.get(server.url + p, timeout=20).text for p in ("/metrics", "/api/llm/status")
    ]
    return [server.log, *figures]


def assert_hidden(texts):
    """Neither the key, nor a good part of it."""
    for text in texts:
        for part in (KEY, KEY[:16], KEY[-16:]):
            assert part not in text


@pytest.mark.parametrize("fault", get_args(Fault))
def test_no_fault_shows_the_key(server, mock_server, fault):
    seen, asked = [], []
    for behaviour in behaviours(fault):
        for path, said in ROUTES:
            mock_server.script(behaviour, behaviour)
            seen.append(told(server, path, said))
            asked += mock_server.requests
            mock_server.reset()
    assert {request.headers["Authorization"] for request in asked} == {f"Bearer {KEY}"}
    assert_hidden([*seen, *everything_written(server)])


def test_an_upstream_that_repeats_it_everywhere_is_not_quoted(serve, transport, wire):
    upstream = IndiscreetUpstream(wire)
    lasting = {"LLM_TRANSPORT": transport, "LLM_BREAKER_FAILURES": "100000"}
    server = serve(**PROVIDER, **QUICK, **lasting, LLM_BASE_URL=upstream.base_url)
    seen = []
    for _ in upstream.ways():
        seen += [told(server, path, said) for path, said in ROUTES]
    assert all(KEY.encode() in request for request in upstream.requests)
    assert_hidden([*seen, *everything_written(server)])
    assert server.stop() == 0
    assert_hidden([server.log])


def test_a_provider_that_is_not_there_nor_an_open_breaker_show_it(serve, transport):
    server = serve(
        **PROVIDER,
        **QUICK,
        LLM_TRANSPORT=transport,
        LLM_BASE_URL="http://127.0.0.1:9/v1",
        LLM_BREAKER_FAILURES="2",
    )
    seen = [told(server, path, said) for path, said in ROUTES * 3]
    assert any("circuit_open" in each for each in seen)
    assert_hidden([*seen, *everything_written(server)])


@pytest.mark.parametrize(
    "key", [KEY, f"{KEY}\nx", f"{KEY}é", f" {KEY} "], ids=["good", "line", "letter", "spaces"]
)
def test_the_commands_do_not_show_it_even_where_it_cannot_be_used(tmp_path, key):
    for command in ("config", "run"):
        arguments = [sys.executable, "-m", "xwe.cli", command]
        environ = {"PATH": "/usr/bin:/bin", **PROVIDER, "LLM_API_KEY": key, "PORT": "none"}
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                arguments,
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert_hidden([done.stdout, done.stderr])
