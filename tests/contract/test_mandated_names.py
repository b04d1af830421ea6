"""Names and signatures that the documents promise to outsiders."""

import asyncio
import inspect
import subprocess
import sys

import pytest

import xwe
from xwe.core.nlp import async_utils, llm_client


@pytest.mark.parametrize(
    "name",
    ["async_route", "AsyncBridge", "LLMClient", "run_async_in_sync", "gather_with_limit"],
)
def test_the_package_offers_the_mandated_names(name: str) -> None:
    assert callable(getattr(xwe, name))
    assert name in dir(xwe)


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = xwe.no_such_name


@pytest.mark.parametrize(
    "name",
    [
        "AsyncBatchProcessor",
        "AsyncConfig",
        "AsyncHelper",
        "AsyncRequestQueue",
        "AsyncWrapper",
        "RateLimiter",
        "cleanup_global_executor",
        "get_global_executor",
    ],
)
def test_the_drawer_of_async_utils_is_complete(name: str) -> None:
    assert callable(getattr(async_utils, name))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("chat", {"temperature": 0.0, "max_tokens": 256, "system_prompt": None}),
        ("chat_with_context", {"temperature": 0.7, "max_tokens": 256}),
    ],
)
def test_both_twins_have_the_documents_signature(method: str, expected: dict) -> None:
    for twin in (method, f"{method}_async"):
        parameters = inspect.signature(getattr(llm_client.LLMClient, twin)).parameters
        defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
        assert defaults == expected
        assert inspect.iscoroutinefunction(getattr(llm_client.LLMClient, twin)) is (
            twin.endswith("_async")
        )


async def test_a_request_is_added_in_one_await_and_answered_in_another() -> None:
    processor = async_utils.AsyncBatchProcessor(lambda items: [item * 2 for item in items])
    assert inspect.iscoroutinefunction(processor.add_request)
    future = await processor.add_request(21)
    assert isinstance(future, asyncio.Future)
    assert not future.done()
    await processor.flush()
    assert await future == 42
    await processor.close()
    with pytest.raises(RuntimeError):
        await processor.add_request(1)


def test_the_constructor_takes_the_documents_parameters_in_their_order() -> None:
    parameters = list(inspect.signature(llm_client.LLMClient).parameters.values())
    assert [p.name for p in parameters[:5]] == [
        "api_key",
        "api_url",
        "model_name",
        "timeout",
        "debug",
    ]
    assert [p.default for p in parameters[3:5]] == [30, False]


@pytest.mark.parametrize(
    "pair",
    [
        ("complete", "complete_async"),
        ("stream", "stream_async"),
        ("structured", "structured_async"),
    ],
)
def test_every_further_method_has_a_twin_with_the_same_parameters(pair: tuple[str, str]) -> None:
    sync, twin = (inspect.signature(getattr(llm_client.LLMClient, name)) for name in pair)
    assert sync.parameters == twin.parameters


def test_importing_the_package_loads_no_framework_and_starts_no_thread() -> None:
    script = (
        "import sys, threading, xwe\n"
        "heavy = {'flask', 'aiohttp', 'openai', 'requests', 'sqlalchemy', 'uvloop', 'jsonschema',\n"
        "         'pydantic', 'click', 'websockets', 'gunicorn'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())\n"
        "xwe.LLMClient, xwe.AsyncBridge, xwe.gather_with_limit\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["[] 1", "[] 1"]
