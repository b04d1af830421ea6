"""Live answers on a real wire: readers join, leave and come back; each sees every event once."""

from contextlib import ExitStack

import pytest
from stream_client import kinds_of, post, reading, rejoining, text_of

from xwe.mock import Behaviour, MockServer

TEXT = "桥把两岸轻轻缝合，😀 and the river goes on. " * 4
SLOW = Behaviour(text=TEXT, tokens_per_s=40)
SILENT = Behaviour(text=TEXT, fault="stall", after_pieces=3)


@pytest.fixture(scope="module")
def server(serve):
    return serve(XWE_STREAM_HEARTBEAT="0.2", XWE_MAX_LLM_RETRIES="1")


@pytest.fixture(scope="module")
def cancelling(serve):
    return serve(XWE_STREAM_ON_DISCONNECT="cancel", XWE_STREAM_ALONE="2")


def stop(server, stream_id):
    return post(server.url, f"/api/generations/{stream_id}/stop")


def test_two_readers_of_one_answer_see_the_same_and_the_one_who_comes_back_misses_nothing(
    server, mock_server
):
    mock_server.script(SLOW)
    with reading(server.url, message="hi") as first:
        before = first.until("text-delta")
        with rejoining(server.url, first.stream_id) as second:
            seen = second.until("text-delta")
            assert seen == before
        # The second one has left: it comes back from its last number.
        with rejoining(server.url, first.stream_id, after=seen[-1][0]) as second:
            seen += list(second)
            assert second.is_done
        before += list(first)
    assert seen == before
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert text_of(seen) == TEXT
    assert kinds_of(seen)[0] == "start"
    assert kinds_of(seen)[-1] == "finish"
    assert seen[0][1]["messageId"] == first.stream_id


def test_the_headers_let_the_convention_and_proxies_know(server, mock_server):
    mock_server.script(Behaviour(text="hi"))
    with reading(server.url, message="hi") as reader:
        list(reader)
    headers = reader.response.headers
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


def test_a_reload_after_the_end_replays_the_answer(server, mock_server):
    mock_server.script(Behaviour(text=TEXT))
    with reading(server.url, message="hi") as reader:
        seen = list(reader)
    with rejoining(server.url, reader.stream_id) as reload:
        assert list(reload) == seen
        assert reload.is_done
    with rejoining(server.url, reader.stream_id, after=len(seen) - 1) as reload:
        assert kinds_of(list(reload)) == ["finish"]


def test_an_answer_is_forgotten_after_a_while(serve, mock_server):
    server = serve(XWE_STREAM_KEEP="1")
    mock_server.script(Behaviour(text=TEXT))
    with reading(server.url, message="hi") as reader:
        list(reader)
    status = 200
    while status == 200:
        with rejoining(server.url, reader.stream_id) as reload:
            status = reload.response.status
            list(reload)
    assert status == 404


def test_a_reader_that_is_gone_for_good_does_not_end_the_answer(server, mock_server):
    mock_server.script(Behaviour(text=TEXT, tokens_per_s=200))
    with reading(server.url, message="hi") as reader:
        reader.until("text-start")  # an answer starts before the model has been asked
    mock_server.wait_until(lambda: mock_server.requests[-1].finished, 60)
    with rejoining(server.url, reader.stream_id) as reload:
        assert text_of(list(reload)) == TEXT


def test_stop_keeps_the_partial_text_and_ends_the_upstream_request(server, mock_server):
    mock_server.script(SILENT)
    with reading(server.url, message="hi") as reader:
        seen = reader.until("text-delta")
        assert stop(server, reader.stream_id) == (200, {"ok": True})
        seen += list(reader)
        assert reader.is_done
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    assert kinds_of(seen)[-1] == "abort"
    assert text_of(seen)
    assert TEXT.startswith(text_of(seen))
    assert "finish" not in kinds_of(seen)
    assert stop(server, reader.stream_id) == (200, {"ok": True})  # once more is no error


def test_an_answer_that_is_not_there_is_a_404_however_it_is_asked_for(server):
    with rejoining(server.url, "nobody-knows") as reader:
        assert reader.response.status == 404
    assert stop(server, "nobody-knows")[0] == 404


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "99999999999", "²"])
def test_a_number_that_is_none_is_refused(server, number):
    with reading(server.url, f"/api/generations/x/events?after={ascii(number)[1:-1]}") as reader:
        assert reader.response.status in {400, 404}


def test_a_head_request_gets_the_headers_alone(server, mock_server):
    mock_server.script(Behaviour(text="hi"))
    with reading(server.url, message="hi") as reader:
        list(reader)
        reader.connection.request("HEAD", f"/api/generations/{reader.stream_id}/events")
        response = reader.connection.getresponse()
        assert response.read() == b""
        assert response.status == 200


def test_a_silent_model_is_bridged_by_comments(server, mock_server):
    mock_server.script(SILENT)
    with reading(server.url, message="hi") as reader:
        reader.until("text-delta")
        while reader.heartbeats < 2:
            line = reader.response.readline()
            reader.heartbeats += line.startswith(b":")
        stop(server, reader.stream_id)
        assert kinds_of(list(reader))[-1] == "abort"


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(fault="status", status=401),
        Behaviour(fault="reset"),
        Behaviour(text=TEXT, fault="reset", after_pieces=4),
        Behaviour(text=TEXT, fault="truncate", after_pieces=4),
        Behaviour(text=TEXT, fault="malformed_json", after_pieces=4),
    ],
    ids=lambda behaviour: f"{behaviour.fault}-{behaviour.after_pieces}",
)
def test_an_error_is_an_event_and_no_finish_follows(server, mock_server, behaviour):
    mock_server.script(behaviour)
    with reading(server.url, message="hi") as reader:
        assert reader.response.status == 200
        seen = list(reader)
        assert reader.is_done
    assert kinds_of(seen)[-1] == "error"
    assert seen[-1][1]["code"]
    assert "finish" not in kinds_of(seen)
    assert TEXT.startswith(text_of(seen))
    assert bool(text_of(seen)) is bool(behaviour.after_pieces)


def test_reasoning_is_a_part_of_its_own_before_the_text(server, mock_server):
    mock_server.script(Behaviour(text="42", reasoning="先想一想"))
    with reading(server.url, message="hi") as reader:
        seen = list(reader)
    assert "".join(e["delta"] for _, e in seen if e["type"] == "reasoning-delta") == "先想一想"
    assert text_of(seen) == "42"
    assert kinds_of(seen).index("reasoning-end") < kinds_of(seen).index("text-start")


@pytest.mark.parametrize("write_bytes", [1, 7])
def test_characters_survive_any_cutting_of_the_wire(server, mock_server, write_bytes):
    mock_server.script(Behaviour(text="雾😀中桥", write_bytes=write_bytes))
    with reading(server.url, message="hi") as reader:
        assert text_of(list(reader)) == "雾😀中桥"


def test_cancel_ends_the_upstream_request_when_nobody_has_read_for_a_while(cancelling, mock_server):
    mock_server.script(SILENT)
    with reading(cancelling.url, message="hi") as reader:
        reader.until("text-delta")
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    with rejoining(cancelling.url, reader.stream_id) as reload:
        assert kinds_of(list(reload))[-1] == "abort"
    assert "ERROR" not in cancelling.log


def test_cancel_leaves_an_answer_alone_that_somebody_reads(cancelling, mock_server):
    """It takes twice as long as it may be alone, and changes hands on the way."""
    mock_server.script(Behaviour(text="ab " * 40, tokens_per_s=10))
    with reading(cancelling.url, message="hi") as first:
        first.until("text-delta")
        with rejoining(cancelling.url, first.stream_id) as second:
            first.connection.close()
            first.response.close()
            assert kinds_of(list(second))[-1] == "finish"


def test_sixty_four_readers_of_one_answer_all_see_all_of_it(server, mock_server):
    mock_server.script(Behaviour(text=TEXT, tokens_per_s=60))
    with ExitStack() as stack:
        first = stack.enter_context(reading(server.url, message="hi"))
        others = [stack.enter_context(rejoining(server.url, first.stream_id)) for _ in range(63)]
        expected = list(first)
        for other in others:
            assert list(other) == expected
    assert text_of(expected) == TEXT


def test_a_reader_that_takes_nothing_is_no_burden_to_the_others(server, mock_server):
    """Megabytes of events pile up before the one that does not read; the other gets them all."""
    long = "x" * 120_000
    mock_server.script(Behaviour(text=long, tokens_per_s=None))
    with (
        reading(server.url, message="hi") as stuck,
        rejoining(server.url, stuck.stream_id) as quick,
    ):
        assert text_of(list(quick)) == long


def test_places_are_given_back_on_every_way_out(serve, mock_server):
    """There are two places. Each way out is gone three times; a place that leaked would show."""
    server = serve(XWE_MAX_STREAMS="1", LLM_MAX_INFLIGHT="1", XWE_STREAM_HEARTBEAT="0.05")
    for _ in range(3):
        mock_server.script(Behaviour(text="hi"))
        with reading(server.url, message="hi") as reader:
            list(reader)
            reader.connection.request("HEAD", f"/api/generations/{reader.stream_id}/events")
            assert reader.connection.getresponse().status == 200
        with rejoining(server.url, "unknown") as unknown:
            assert unknown.response.status == 404
        with rejoining(server.url, reader.stream_id, after=10_000) as gap:
            assert gap.response.status == 404
    mock_server.script(SILENT)
    with reading(server.url, message="hi") as reader, rejoining(server.url, reader.stream_id):
        with rejoining(server.url, reader.stream_id) as third:
            assert third.response.status == 503
            assert third.response.getheader("Retry-After")
        reader.until("text-delta")
    # Both left without a word; their threads find out by themselves.
    status = 503
    while status == 503:
        with rejoining(server.url, reader.stream_id) as again:
            status = again.response.status
    assert status == 200
    assert stop(server, reader.stream_id)[0] == 200
    assert "ERROR" not in server.log


@pytest.mark.parametrize("switch", [{"LLM_TRANSPORT": "requests"}, {"LLM_ASYNC_ENABLED": "false"}])
def test_answers_live_side_by_side_where_each_call_blocks_a_thread(serve, switch):
    """One model is silent; the other answer is not held up by it, and the silent one is stopped."""
    # A blocked thread hears of nothing but its model's end, and a process waits for its threads.
    with MockServer() as model:
        server = serve(LLM_BASE_URL=model.base_url, LLM_IDLE_TIMEOUT="600", **switch)
        model.script(SILENT, Behaviour(text=TEXT))
        with reading(server.url, message="hi") as silent:
            silent.until("text-delta")
            with reading(server.url, message="hi") as quick:
                assert text_of(list(quick)) == TEXT
            assert stop(server, silent.stream_id)[0] == 200
            assert kinds_of(list(silent))[-1] == "abort"


def test_an_answers_own_routes_ask_for_the_same_as_those_that_begin_one(serve, mock_server):
    """In login mode its name alone opens nothing; nor does a page of another site get at it."""
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="sesame-sesame-sesame")
    token = {"Authorization": "Bearer sesame-sesame-sesame"}
    mock_server.script(Behaviour(text="hi"))
    with reading(server.url, headers=token, message="hi") as reader:
        seen = list(reader)
    events, end = (f"/api/generations/{reader.stream_id}/{what}" for what in ("events", "stop"))
    for foreign, status in (({}, 401), ({"Origin": "https://evil.example"}, 403)):
        with reading(server.url, events, foreign) as refused:
            assert refused.response.status == status
        assert post(server.url, end, headers=foreign)[0] == status
    with reading(server.url, events, token) as again:
        assert list(again) == seen
    assert post(server.url, end, headers=token)[0] == 200
