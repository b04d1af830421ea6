"""The buffered model routes under the real server, with each transport, down to the real wire."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from xwe.mock import Behaviour, MockServer


@pytest.fixture(scope="module", params=["aiohttp", "requests", "openai"])
def server(request: pytest.FixtureRequest, serve: Callable[..., Any]) -> Any:
    quick = {"XWE_MAX_LLM_RETRIES": "1", "LLM_BREAKER_FAILURES": "1000"}
    return serve(LLM_TRANSPORT=request.param, **quick)


def post(server: Any, path: str, body: Any, **more: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json=body, timeout=60, **more)


def server_timing(response: requests.Response) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=([\d.]+)", response.headers["Server-Timing"])
    return {name: float(milliseconds) for name, milliseconds in found}


def test_a_question_is_answered(server: Any, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="你好，世界", latency_s=0.06))
    asked = {"message": "你好", "system_prompt": "简短", "temperature": 0.5, "max_tokens": 99}
    response = post(server, "/api/llm/chat", asked)
    answer = response.json()
    assert response.status_code == 200
    assert answer.keys() == {"response", "duration", "usage"}
    assert answer["response"] == "你好，世界"
    assert answer["duration"] >= 0.05
    assert answer["usage"]["total_tokens"] > 0
    assert "你好" in response.text  # unescaped

    (received,) = mock_server.requests
    assert received.body["messages"] == [
        {"role": "system", "content": "简短"},
        {"role": "user", "content": "你好"},
    ]
    assert (received.body["temperature"], received.body["max_tokens"]) == (0.5, 99)


def test_what_the_question_leaves_out_is_not_sent(server: Any, mock_server: MockServer) -> None:
    post(server, "/api/llm/chat", {"message": "hi"})
    (received,) = mock_server.requests
    assert "temperature" not in received.body
    assert "max_tokens" not in received.body


def test_server_timing_says_where_the_time_went(server: Any, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(latency_s=0.11))  # the loop's clock ticks in milliseconds
    timing = server_timing(post(server, "/api/llm/chat", {"message": "hi"}))
    assert timing.keys() == {"queue", "upstream", "overhead"}
    assert timing["upstream"] >= 100


def test_a_conversation_goes_on(server: Any, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="three"))
    before = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    asked = {"messages": before, "new_message": "and then?"}
    answer = post(server, "/api/llm/conversation", asked).json()
    said = [*before, {"role": "user", "content": "and then?"}]
    assert answer == {
        "response": "three",
        "conversation": [*said, {"role": "assistant", "content": "three"}],
    }
    assert mock_server.requests[-1].body["messages"] == said


def test_a_conversation_can_be_sent_back_as_it_came(server: Any) -> None:
    first = post(server, "/api/llm/conversation", {"messages": [], "new_message": "hi"}).json()
    again = {"messages": first["conversation"], "new_message": "more"}
    response = post(server, "/api/llm/conversation", again)
    assert len(response.json()["conversation"]) == 4


def test_one_bad_item_spoils_nothing(server: Any, mock_server: MockServer) -> None:
    """A failing call, a wrong type and an empty text stay with their own items."""
    mock_server.script(Behaviour(text="a"), Behaviour(fault="status", status=400))
    response = post(server, "/api/llm/batch", {"prompts": ["a", "b", 7, "", "e"], "limit": 1})
    results = response.json()["results"]
    assert response.status_code == 200
    assert [result["ok"] for result in results] == [True, False, False, False, True]
    assert results[0] == {"ok": True, "response": "a"}
    assert results[1]["error"]["code"] == "provider_error"
    assert "prompts[2]" in results[2]["error"]["message"]
    assert results[3]["error"] == {
        "code": "invalid_request",
        "message": "prompts[3] must not be empty.",
        "retryable": False,
    }
    durations = response.json()["durations"]
    assert durations == sorted(durations)  # one after another: the limit is 1
    assert 0 < durations[0] < durations[-1] <= response.json()["total_duration"]
    assert server_timing(response).keys() == {"queue", "upstream", "overhead"}


def test_an_empty_batch_is_an_empty_answer(server: Any) -> None:
    assert post(server, "/api/llm/batch", {"prompts": []}).json()["results"] == []


def test_a_batch_asks_many_at_once(serve: Callable[..., Any]) -> None:
    """All of them reach the model before the first is answered."""
    with MockServer(Behaviour(fault="no_headers")) as silent, ThreadPoolExecutor(1) as pool:
        server = serve(LLM_BASE_URL=silent.base_url, XWE_MAX_LLM_RETRIES="1")
        body = {"prompts": ["a", "b", "c", "d", "e"], "limit": 4}
        running = pool.submit(post, server, "/api/llm/batch", body)
        silent.wait_until(lambda: len(silent.requests) == 4)
        assert not running.done()
        silent.close()
        results = running.result(60).json()["results"]
    assert [result["ok"] for result in results] == [False] * 5


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (Behaviour(fault="status", status=500), 502, "provider_error"),
        (Behaviour(fault="status", status=401), 502, "provider_auth"),
        (Behaviour(fault="status", status=400), 502, "provider_error"),
        (Behaviour(fault="status", status=429, retry_after_s=7), 503, "provider_rate_limited"),
        (Behaviour(fault="html"), 502, "provider_bad_reply"),
        (Behaviour(fault="malformed_json"), 502, "provider_bad_reply"),
    ],
    ids=lambda value: getattr(value, "fault", None),
)
def test_the_providers_failure_becomes_a_status(
    server: Any, mock_server: MockServer, behaviour: Behaviour, status: int, code: str
) -> None:
    mock_server.script(behaviour)
    response = post(server, "/api/llm/chat", {"message": "hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    if behaviour.retry_after_s:
        assert response.headers["Retry-After"] == "7"


def test_with_the_kill_switch_everything_still_answers(
    serve: Callable[..., Any], mock_server: MockServer
) -> None:
    """No loop and no pool: each request's own thread asks the model."""
    server = serve(LLM_ASYNC_ENABLED="false")
    mock_server.script(*[Behaviour(text="你好")] * 4)
    assert post(server, "/api/llm/chat", {"message": "hi"}).json()["response"] == "你好"
    batch = post(server, "/api/llm/batch", {"prompts": ["a", "b"]}).json()["results"]
    assert batch == [{"ok": True, "response": "你好"}] * 2
    streamed = requests.get(f"{server.url}/chat?prompt=hi", timeout=60)
    assert streamed.content.decode() == "你好"
    assert requests.get(f"{server.url}/health/ready", timeout=60).ok


def test_no_marker_of_one_caller_shows_up_with_another(server: Any) -> None:
    """The demo model quotes its prompt, so that a mix-up would be seen."""

    def ask(index: int) -> tuple[str, requests.Response]:
        marker = f"marker-{index:04d}"
        headers = {"X-Request-ID": marker}
        return marker, post(server, "/api/llm/chat", {"message": marker}, headers=headers)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    for marker, response in answers:
        assert response.headers["X-Request-ID"] == marker
        assert set(re.findall(r"marker-\d{4}", response.json()["response"])) <= {marker}
