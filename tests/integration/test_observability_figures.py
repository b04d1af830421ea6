"""The figures after calls over a real wire: in Prometheus's format and as the system page's."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from xwe.bootstrap import build_services
from xwe.mock import Behaviour
from xwe.settings import load_settings
from xwe.web import create_app

ASK = {"message": "hello"}
TOKEN = {"Authorization": "Bearer canary-token"}


@pytest.fixture
def make_client(mock_server):
    """A client of an application on the model server; variables as keyword arguments."""
    opened = []

    def make(**environ):
        provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": mock_server.base_url}
        services = build_services(load_settings(provider | environ))
        opened.append(services)
        return create_app(services=services).test_client()

    yield make
    for services in opened:
        services.close()


@pytest.fixture
def client(make_client):
    return make_client(XWE_MAX_LLM_RETRIES="2")


def scrape(client):
    """What a scrape finds: {name: {label values: value}}, labels without provider and pid."""
    reply = client.get("/metrics")
    assert reply.status_code == 200
    found = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            labels = [
                value for name, value in sample.labels.items() if name not in {"provider", "pid"}
            ]
            found.setdefault(sample.name, {})[tuple(sorted(labels))] = sample.value
    return found


def test_outcomes_retries_and_causes_are_counted(client, mock_server):
    broken = Behaviour(fault="status", status=500)
    mock_server.script(Behaviour(), broken, Behaviour(), Behaviour(fault="html"), broken, broken)
    statuses = [client.post("/api/llm/chat", json=ASK).status_code for _ in range(4)]
    assert statuses == [200, 200, 502, 502]
    found, call = scrape(client), ("whole", "xwe-demo")
    assert found["xwe_llm_calls_total"] == {("ok", *call): 2, ("failed", *call): 2}
    assert found["xwe_llm_failures_total"] == {
        ("provider_bad_reply", *call): 1,
        ("provider_error", *call): 1,
    }
    assert found["xwe_llm_retries_total"] == {call: 2}
    assert found["xwe_llm_call_duration_seconds_count"] == {call: 4}
    assert found["xwe_http_requests_total"] == {
        ("/api/llm/chat", "2xx", "POST"): 2,
        ("/api/llm/chat", "5xx", "POST"): 2,
    }


def test_answers_from_the_cache_are_counted_in_the_metrics_and_the_status(make_client, mock_server):
    client = make_client(LLM_CACHE_TTL="60")
    for _ in range(3):
        assert client.post("/api/llm/chat", json=ASK | {"temperature": 0}).status_code == 200
    assert len(mock_server.requests) == 1
    found, call = scrape(client), ("whole", "xwe-demo")
    assert found["xwe_llm_calls_total"] == {("ok", *call): 3}
    assert found["xwe_llm_cache_hits_total"] == {call: 2}
    assert found["xwe_llm_call_duration_seconds_count"] == {call: 1}
    recent = client.get("/api/llm/status").json["recent"]
    assert (recent["calls"], recent["cached"], recent["total_s"]["count"]) == (3, 2, 1)


def test_a_stream_has_its_first_token_measured(client, mock_server):
    mock_server.script(Behaviour(text="one two three", latency_s=0.2))
    assert client.get("/chat?prompt=count").text == "one two three"
    found = scrape(client)
    assert found["xwe_llm_calls_total"] == {("ok", "streamed", "xwe-demo"): 1}
    assert found["xwe_llm_first_token_seconds_count"] == {("xwe-demo",): 1}
    assert found["xwe_llm_first_token_seconds_bucket"]["0.05", "xwe-demo"] == 0
    assert found["xwe_llm_first_token_seconds_sum"]["xwe-demo",] >= 0.19  # a coarse clock's


def test_tokens_are_those_that_the_provider_counted(client, mock_server):
    usage = client.post("/api/llm/chat", json=ASK).json["usage"]
    assert scrape(client)["xwe_llm_tokens_total"] == {
        ("input", "xwe-demo"): usage["prompt_tokens"],
        ("output", "xwe-demo"): usage["completion_tokens"],
    }


def test_gauges_show_what_runs_right_now(client, mock_server):
    mock_server.script(Behaviour(text="one two", latency_s=0.0))
    reply = client.get("/chat?prompt=count", buffered=False)  # its body is not read yet
    mid = scrape(client)
    assert mid["xwe_worker_threads_busy"][()] == 2  # the stream's and the scrape's
    reply.close()
    status = client.get("/api/llm/status").json
    assert status["now"]["threads_busy"] <= 2
    assert mid["xwe_llm_breaker"] == {("closed",): 1, ("open",): 0, ("half_open",): 0}


def test_the_breaker_shows(make_client, mock_server):
    client = make_client(XWE_MAX_LLM_RETRIES="1", LLM_BREAKER_FAILURES="1")
    mock_server.script(Behaviour(fault="status", status=500))
    assert client.post("/api/llm/chat", json=ASK).status_code == 502
    assert client.post("/api/llm/chat", json=ASK).status_code == 503
    assert scrape(client)["xwe_llm_breaker"]["open",] == 1
    status = client.get("/api/llm/status").json
    assert status["now"]["breaker"] == "open"
    assert status["recent"]["failures"] == {"provider_error": 1, "circuit_open": 1}


def test_made_up_paths_and_methods_are_no_series_of_their_own(client):
    for number in range(5):
        client.get(f"/made/up/{number}")
        client.open("/", method=f"MADE{number}")
    routes = scrape(client)["xwe_http_requests_total"]
    assert routes == {("(none)", "4xx", "GET"): 5, ("(none)", "4xx", "other"): 5}


def test_the_status_has_a_past_and_a_present(client, mock_server):
    client.post("/api/llm/chat", json=ASK)
    reply = client.get("/api/llm/status")
    status = reply.json
    assert reply.headers["Cache-Control"] == "no-store"
    assert status.keys() == {"at", "now", "limits", "recent", "history", "workers"}
    assert status["recent"]["calls"] == 1
    assert status["recent"]["total_s"]["count"] == 1
    assert len(status["history"]["at"]) == 60
    assert sum(status["history"]["calls_per_s"]) > 0
    assert status["limits"]["in_flight"] == 1020
    (worker,) = status["workers"]
    assert worker["busy_share"] >= 0
    assert worker["loop_lag_s"] >= 0


def test_the_pool_shows_where_calls_run_in_threads(make_client, monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_WORKERS", "3")  # read from there at each call
    client = make_client(LLM_TRANSPORT="requests", LLM_ASYNC_WORKERS="3")
    client.post("/api/llm/chat", json=ASK)
    status = client.get("/api/llm/status").json
    assert status["now"]["pool"]["max_workers"] == 3
    assert status["limits"]["in_flight"] == 3
    assert scrape(client)["xwe_pool_threads"][()] == 1


def test_metrics_can_be_turned_off(make_client):
    client = make_client(ENABLE_PROMETHEUS="false")
    assert client.get("/metrics").status_code == 404
    assert client.get("/api/llm/status").status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/api/llm/status"])
def test_figures_are_for_those_who_may_call_the_model(make_client, path):
    client = make_client(XWE_ACCESS="login", XWE_API_TOKEN="canary-token")
    refused = client.get(path)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert b"xwe_" not in refused.data
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    # Behind a proxy on this machine everybody comes from the loopback address.
    assert client.get(path, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert client.get(path, headers=TOKEN).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/api/llm/status"])
def test_a_page_of_another_site_reads_no_figures(client, path):
    assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_figures_are_answered_during_the_drain(client):
    client.application.begin_drain()
    assert client.get("/metrics").status_code == 200
