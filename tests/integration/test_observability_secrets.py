"""A canary key and a canary prompt go through every fault; no line, figure or error shows them."""

from http import HTTPStatus

import orjson
import pytest
import requests

from xwe.mock import Behaviour
from xwe.mock.rules import Rule

KEY, TOKEN = "sk-canary-key-0123456789", "canary-token-0123456789"
PROMPT, REPLY = "canary-prompt-for-nobody", "canary-reply-for-nobody"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}

# The upstream repeats what it was sent, as some do.
ECHO = f'{{"error": {{"message": "bad key {KEY} in {PROMPT}"}}}}'
FAULTS = {
    "rejected": Behaviour(fault="status", status=401),
    "limited": Behaviour(fault="status", status=429),
    "failing": Behaviour(fault="status", status=500),
    "html": Behaviour(fault="html", broken_text=f"<html>Authorization: Bearer {KEY}</html>"),
    "malformed": Behaviour(fault="malformed_json", broken_text=ECHO[:-2]),
    "wrong type": Behaviour(fault="wrong_type", broken_text=ECHO),
    "error event": Behaviour(fault="error_event", after_pieces=1, text=f"{REPLY} and more"),
    "reset": Behaviour(fault="reset"),
    "truncated": Behaviour(fault="truncate", after_pieces=2, text=f"{REPLY} and more"),
    "silent": Behaviour(fault="no_headers"),
    "stalled": Behaviour(fault="stall", after_pieces=1, text=f"{REPLY} and more"),
    "fine": Behaviour(text=REPLY),
}


@pytest.fixture(params=["aiohttp", "requests", "openai"], scope="module")
def server(request, serve, module_mock_server):
    return serve(
        LLM_PROVIDER="custom",
        LLM_BASE_URL=module_mock_server.base_url,
        LLM_MODEL="m",
        LLM_API_KEY=KEY,
        LLM_TRANSPORT=request.param,
        LLM_FIRST_TOKEN_TIMEOUT="0.3",
        LLM_IDLE_TIMEOUT="0.3",
        LLM_ASYNC_TIMEOUT="3",
        LLM_BREAKER_FAILURES="1000",
        XWE_MAX_LLM_RETRIES="1",
        XWE_ACCESS="login",
        XWE_API_TOKEN=TOKEN,
        XWE_ACCESS_LOG="true",
        LOG_LEVEL="DEBUG",
    )


def told(server, method, path, **asked):
    """What a caller is told of a failure; "" when there is none."""
    try:
        reply = requests.request(method, server.url + path, headers=AUTHORIZED, timeout=60, **asked)
    except requests.exceptions.ChunkedEncodingError as error:
        return str(error)  # a plain text that was cut off, which is all it can say
    if reply.status_code != HTTPStatus.OK:
        return reply.text
    return "".join(line for line in reply.text.splitlines() if '"type":"error"' in line)


def test_no_secret_and_no_prompt_gets_out(server, mock_server):
    told(server, "POST", "/api/llm/chat", json={"message": PROMPT})  # the first one loads the SDK
    mock_server.reset()
    errors = []
    for fault in FAULTS.values():
        # A rule, as a call that gave up before it was out would leave its script to the next.
        mock_server.follow(Rule(lambda _: True, fault))
        errors += [
            told(server, "POST", "/api/llm/chat", json={"message": PROMPT}),
            told(server, "GET", "/chat", params={"prompt": PROMPT}),
            told(server, "POST", "/api/llm/stream", json={"message": PROMPT}),
        ]
    requests.get(f"{server.url}/chat", params={"prompt": PROMPT}, timeout=60)  # refused
    assert mock_server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert len([error for error in errors if error]) >= 3 * (len(FAULTS) - 1)

    figures = [
        requests.get(server.url + path, headers=AUTHORIZED, timeout=60).text
        for path in ("/metrics", "/api/llm/status")
    ]
    assert "xwe_llm_failures_total{" in figures[0]
    assert "outcome=provider_auth" in server.log
    for text in (*errors, *figures, server.log):
        for secret in (KEY, TOKEN, PROMPT, REPLY):
            assert secret not in text


def test_every_line_is_json_that_names_its_request(server, mock_server):
    mock_server.script(FAULTS["rejected"])
    requests.post(
        f"{server.url}/api/llm/chat",
        json={"message": PROMPT},
        headers=AUTHORIZED | {"X-Request-ID": "find-me"},
        timeout=60,
    )
    lines = [orjson.loads(line) for line in server.log.splitlines()]
    # The server's own lines, of the access and of the connection, may be there by now or not.
    found = [line for line in lines if line["request_id"] == "find-me" and line["level"] != "DEBUG"]
    warned = [line for line in found if line["logger"] != "gunicorn.access"]
    assert [(line["logger"], line["level"]) for line in warned] == [("xwe.llm", "WARNING")]


def test_the_access_log_leaves_out_the_query(serve):
    server = serve(XWE_ACCESS_LOG="true")
    requests.get(
        f"{server.url}/chat",
        params={"prompt": PROMPT},
        headers={"Referer": f"{server.url}/?q={PROMPT}", "X-Request-ID": "find-me"},
        timeout=60,
    )
    while not (line := server.process.stdout.readline()).startswith("{"):
        pass  # what it says at the start, for people
    line = orjson.loads(line)
    assert line["logger"] == "gunicorn.access"
    assert line["request_id"] == "find-me"
    assert '"GET /chat HTTP/1.1" 200' in line["message"]
    assert PROMPT not in str(line)
