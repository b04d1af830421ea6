"""The client over a real wire, on every transport, from every kind of caller."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.call_path import PhaseLimits
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.llm_client import DeepSeek, LLMClient
from xwe.core.nlp.retry import Backoff, RetryPolicy
from xwe.errors import (
    CircuitOpenError,
    ClosedError,
    DeadlineExceededError,
    ProviderAuthError,
    ProviderStatusError,
    SaturatedError,
    StreamInterruptedError,
    StructuredReplyError,
)
from xwe.mock import Behaviour, MockServer

TRANSPORTS = ["requests", "aiohttp", "openai"]
QUICK = ClientPolicy(retry=RetryPolicy(3, Backoff(0.001)))
KEY = "canary-7f3a"


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer(Behaviour(text="你好,世界")) as running:
        yield running


def client_of(server: MockServer, transport: str, policy: ClientPolicy = QUICK) -> LLMClient:
    return LLMClient(
        KEY, server.base_url + "/chat/completions", "demo", transport=transport, policy=policy
    )


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, server: MockServer) -> Iterator[LLMClient]:
    with client_of(server, request.param) as made:
        yield made


# --- the documents' methods, from every kind of caller ---


def test_chat_and_its_twin_give_the_same_answer(client: LLMClient) -> None:
    assert client.chat("hi") == "你好,世界"
    assert run_async_in_sync(client.chat_async("hi")) == "你好,世界"


async def test_the_twin_works_on_a_loop_of_the_callers_own(client: LLMClient) -> None:
    assert await client.chat_async("hi") == "你好,世界"
    results = await asyncio.gather(*(client.chat_async("hi") for _ in range(8)))
    assert results == ["你好,世界"] * 8


def test_the_synchronous_method_works_in_a_thread_and_inside_a_running_loop(
    client: LLMClient,
) -> None:
    async def cell() -> str:
        return client.chat("hi")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(client.chat, "hi").result(60) == "你好,世界"
    assert asyncio.run(cell()) == "你好,世界"


def test_with_the_kill_switch_everything_still_answers_in_the_calling_thread(
    client: LLMClient, server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    before = set(threading.enumerate())

    async def streamed() -> str:
        async with client.stream_async("hi") as stream:
            return "".join([delta.text async for delta in stream])

    assert client.chat("hi") == "你好,世界"
    assert asyncio.run(client.chat_async("hi")) == "你好,世界"
    assert run_async_in_sync(client.chat_async("hi")) == "你好,世界"
    assert "".join(delta.text for delta in client.stream("hi")) == "你好,世界"
    assert asyncio.run(streamed()) == "你好,世界"
    assert set(threading.enumerate()) <= before


def test_the_arguments_reach_the_wire(client: LLMClient, server: MockServer) -> None:
    client.chat("hi", 0.5, 77, "be brief")
    client.chat_with_context([{"role": "user", "content": "yo"}], 0.1, 9)
    first, second = (received.body for received in server.requests)
    assert first["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]
    assert (first["temperature"], first["max_tokens"], first["model"]) == (0.5, 77, "demo")
    assert (second["temperature"], second["max_tokens"]) == (0.1, 9)


# --- patched and overridden methods ---


def test_a_patched_chat_is_used_by_its_twin(client: LLMClient, server: MockServer) -> None:
    with mock.patch.object(LLMClient, "chat", lambda self, prompt: f"patched {prompt}"):
        assert run_async_in_sync(client.chat_async("a")) == "patched a"
    with mock.patch.object(client, "chat", return_value="instance") as patched:
        assert run_async_in_sync(client.chat_async("b", temperature=0.9)) == "instance"
        patched.assert_called_once_with("b", temperature=0.9)
    assert not server.requests
    assert run_async_in_sync(client.chat_async("c")) == "你好,世界"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_overridden_chat_is_used_by_its_twin(server: MockServer, transport: str) -> None:
    class Louder(LLMClient):
        def chat(self, prompt: str, *args: object, **options: object) -> str:
            return super().chat(prompt).upper() + "!"

        def chat_with_context(self, messages: list, *args: object, **options: object) -> str:
            return "context!"

    with Louder(
        "key", server.base_url + "/chat/completions", "demo", transport=transport, policy=QUICK
    ) as client:
        assert run_async_in_sync(client.chat_async("hi")) == "你好,世界!"
        assert run_async_in_sync(client.chat_with_context_async([])) == "context!"


# --- the pool of the documents ---


def test_the_pool_can_be_watched_as_the_documents_do(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ASYNC_WORKERS", "3")
    with client_of(server, "requests") as client:
        assert isinstance(client._executor, BoundedThreadPoolExecutor)
        assert client._executor._max_workers == 3
        assert len(client._executor._threads) == 0
        run_async_in_sync(client.chat_async("hi"))
        assert len(client._executor._threads) == 1
        assert client._executor._work_queue.qsize() == 0


def test_a_full_queue_refuses_at_once(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ASYNC_WORKERS", "1")
    monkeypatch.setenv("LLM_ASYNC_QUEUE_SIZE", "1")
    server.script(Behaviour(fault="no_headers"), Behaviour(text="next"))

    async def three() -> list:
        calls = [asyncio.create_task(client.chat_async("1")) for _ in range(2)]
        await asyncio.to_thread(server.wait_until, lambda: len(server.requests) == 1)
        with pytest.raises(SaturatedError) as refused:
            await client.chat_async("3")
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return [refused.value.retry_after_s]

    policy = ClientPolicy(retry=RetryPolicy(1))
    with client_of(server, "requests", policy) as client:
        assert asyncio.run(three())[0] >= 1
        server.close()  # frees the thread that waits for headers


@pytest.mark.parametrize("transport", ["aiohttp", "openai"])
def test_full_places_on_the_loop_refuse_at_once(server: MockServer, transport: str) -> None:
    server.script(*[Behaviour(fault="no_headers")] * 2)
    policy = ClientPolicy(max_inflight=1, queue_size=1)

    async def three() -> None:
        calls = [asyncio.create_task(client.chat_async("1")) for _ in range(2)]
        await asyncio.to_thread(server.wait_until, lambda: len(server.requests) == 1)
        with pytest.raises(SaturatedError):
            await client.chat_async("3")
        assert client.stats()["admission"]["waiting"] == 1
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert client.stats()["admission"]["running"] == 0

    with client_of(server, transport, policy) as client:
        get_loop_thread().run(three())


def test_a_pool_task_that_asks_through_the_same_pool_is_answered(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ASYNC_WORKERS", "1")
    with client_of(server, "requests") as client:
        nested = client._executor.submit(lambda: run_async_in_sync(client.chat_async("hi")))
        assert nested.result(60) == "你好,世界"


# --- the end ---


def test_cleanup_frees_the_threads_that_wait_for_a_silent_model(server: MockServer) -> None:
    """Its own pool's and the caller's, long before any limit; a retry does not begin."""
    server.script(*[Behaviour(fault="no_headers")] * 4)
    policy = ClientPolicy(
        retry=RetryPolicy(3, Backoff(0.001)),
        phases=PhaseLimits(first_token_s=3600, idle_s=3600),
    )
    url = server.base_url + "/chat/completions"
    client = LLMClient(KEY, url, "demo", 3600, transport="requests", policy=policy)
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(client.chat, "in the caller's thread"),
            threads.submit(run_async_in_sync, client.chat_async("in the pool's")),
        ]
        server.wait_until(lambda: len(server.requests) == 2)
        client.cleanup()
        errors = [call.exception(20) for call in calls]
    assert [type(error) for error in errors] == [ClosedError] * 2
    assert client._executor is not None
    assert not any(thread.is_alive() for thread in client._executor._threads)
    assert len(server.requests) == 2


def test_a_call_after_cleanup_is_a_runtime_error(client: LLMClient) -> None:
    client.chat("hi")
    client.cleanup()
    client.cleanup()
    with pytest.raises(RuntimeError):
        client.chat("hi")
    with pytest.raises(ClosedError):
        run_async_in_sync(client.chat_async("hi"))
    with pytest.raises(ClosedError):
        client.stream("hi")


async def test_the_client_is_an_async_context_manager_too(server: MockServer) -> None:
    async with client_of(server, "aiohttp") as client:
        assert await client.chat_async("hi") == "你好,世界"
    with pytest.raises(ClosedError):
        await client.chat_async("hi")


# --- whole, streamed, structured ---


def test_a_completion_says_everything(client: LLMClient) -> None:
    completion = client.complete("hi", max_tokens=50)
    assert completion.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert completion.timings is not None
    assert completion.timings.attempts == 1
    assert 0 < completion.timings.upstream_s <= completion.timings.total_s
    assert completion.message["content"] == "你好,世界"


def test_a_stream_gives_pieces_and_then_the_whole(client: LLMClient) -> None:
    with client.stream("hi") as stream:
        texts = [delta.text for delta in stream if delta.text]
    assert len(texts) > 1
    assert "".join(texts) == stream.completion.text == "你好,世界"
    assert stream.completion.finish_reason == "stop"
    assert stream.completion.usage is not None
    assert stream.completion.timings is not None


async def test_a_stream_can_be_read_on_a_loop_of_the_callers_own(client: LLMClient) -> None:
    async with client.stream_async("hi") as stream:
        texts = [delta.text async for delta in stream]
    assert "".join(texts) == stream.completion.text == "你好,世界"


def test_closing_a_stream_closes_the_upstream_request(
    client: LLMClient, server: MockServer
) -> None:
    server.script(Behaviour(text="one two three", fault="stall", after_pieces=1))
    stream = client.stream("hi")
    next(stream)
    stream.close()
    server.wait_until(lambda: server.requests[0].disconnected)
    assert stream.completion.finish_reason is None


@pytest.mark.parametrize("transport", ["aiohttp", "openai"])
def test_cancelling_a_call_closes_the_upstream_request_at_once(
    server: MockServer, transport: str
) -> None:
    server.script(Behaviour(fault="no_headers"))

    async def cancelled() -> None:
        call = asyncio.create_task(client.chat_async("hi"))
        await asyncio.to_thread(server.wait_until, lambda: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with client_of(server, transport) as client:
        asyncio.run(cancelled())
        server.wait_until(lambda: server.requests[0].disconnected)


def test_cancelling_a_call_of_the_pool_releases_the_caller_and_keeps_its_place(
    server: MockServer,
) -> None:
    server.script(Behaviour(fault="no_headers"))

    async def cancelled() -> int:
        call = asyncio.create_task(client.chat_async("hi"))
        await asyncio.to_thread(server.wait_until, lambda: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return client._executor.stats().running

    policy = ClientPolicy(retry=RetryPolicy(1))
    with client_of(server, "requests", policy) as client:
        assert asyncio.run(cancelled()) == 1
        server.close()


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def test_structured_replies_fit_the_schema(client: LLMClient, server: MockServer) -> None:
    server.script(Behaviour(), Behaviour())
    assert set(client.structured("谁?", SCHEMA)) == {"name"}
    assert set(run_async_in_sync(client.structured_async("谁?", SCHEMA))) == {"name"}


def test_a_reply_that_does_not_fit_is_mended_in_one_round(
    client: LLMClient, server: MockServer
) -> None:
    server.script(Behaviour(text="```json\n{}\n```"), Behaviour(text='{"name": "李白"}'))
    assert client.structured("谁?", SCHEMA) == {"name": "李白"}
    assert "'name' is a required property" in server.requests[1].body["messages"][-1]["content"]
    server.script(Behaviour(text="no"), Behaviour(text="no"))
    with pytest.raises(StructuredReplyError):
        run_async_in_sync(client.structured_async("谁?", SCHEMA))


# --- faults, through the whole path ---


def test_a_server_error_is_tried_again(client: LLMClient, server: MockServer) -> None:
    server.script(Behaviour(fault="status", status=503), Behaviour(fault="reset"))
    assert client.chat("hi") == "你好,世界"
    assert len(server.requests) == 3


def test_a_refused_key_is_not_tried_again(client: LLMClient, server: MockServer) -> None:
    server.script(Behaviour(fault="status", status=401))
    with pytest.raises(ProviderAuthError) as refused:
        client.chat("hi")
    assert len(server.requests) == 1
    assert KEY not in repr(refused.value)


def test_retry_after_is_waited_for_when_it_fits(client: LLMClient, server: MockServer) -> None:
    server.script(Behaviour(fault="status", status=429, retry_after_s=1))
    began = time.monotonic()
    assert client.chat("hi") == "你好,世界"
    assert time.monotonic() - began >= 1


def test_the_breaker_answers_for_a_provider_that_keeps_failing(
    client: LLMClient, server: MockServer
) -> None:
    server.script(*[Behaviour(fault="status", status=500)] * 20)
    for _ in range(2):
        with pytest.raises(ProviderStatusError):
            client.chat("hi")
    with pytest.raises(CircuitOpenError):
        client.chat("hi")
    assert len(server.requests) == 5
    assert client.stats()["breaker"] == "open"


def test_no_answer_by_the_deadline_is_a_timeout_error_for_both_twins(
    client: LLMClient, server: MockServer
) -> None:
    server.script(*[Behaviour(fault="no_headers")] * 2)
    with pytest.raises(DeadlineExceededError):
        client.complete("hi", timeout_s=0.2)
    with pytest.raises(TimeoutError):
        run_async_in_sync(client.complete_async("hi", timeout_s=0.2))


def test_a_stream_that_breaks_off_keeps_what_came_and_is_not_tried_again(
    client: LLMClient, server: MockServer
) -> None:
    server.script(Behaviour(text="one two three", fault="truncate", after_pieces=2))
    stream = client.stream("hi")
    with pytest.raises(StreamInterruptedError):
        list(stream)
    assert stream.completion.text.startswith("one")
    assert stream.completion.finish_reason is None
    assert len(server.requests) == 1


# --- construction ---


def test_without_a_key_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEEPSEEK_API_KEY", "LLM_API_KEY", "LLM_BASE_URL", "LLM_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="DEEPSEEK_API_KEY"):
        LLMClient()


def test_the_environment_is_followed(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "canary")
    monkeypatch.setenv("LLM_BASE_URL", server.base_url)
    monkeypatch.setenv("XWE_MAX_LLM_RETRIES", "7")
    with LLMClient() as client:
        assert client.max_retries == 7
        assert client.chat("hi") == "你好,世界"
    assert server.requests[0].headers["Authorization"] == "Bearer canary"


def test_the_call_timeout_is_read_at_the_call(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(Behaviour(fault="no_headers"))
    with client_of(server, "aiohttp") as client:
        monkeypatch.setenv("LLM_ASYNC_TIMEOUT", "0.2")
        with pytest.raises(DeadlineExceededError):
            client.chat("hi")


def test_the_older_client_keeps_its_shape(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", server.base_url)
    older = DeepSeek("key", "deepseek-chat")
    try:
        assert older.chat("hi") == {"text": "你好,世界"}
        assert run_async_in_sync(older.chat_async("hi")) == {"text": "你好,世界"}
    finally:
        older.cleanup()
    assert server.requests[0].body["model"] == "deepseek-chat"
