"""Every example, run as a newcomer runs it: as a script, with nothing set."""

import ast
import difflib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xwe.mock import Behaviour, MockServer

EXAMPLES = Path(__file__).parents[2] / "examples"
# What the examples share; the first lines of each say so.
NOT_EXAMPLES = {"any_model.py", "old_client.py", "ten_users.py"}
SOON_S = 60.0
WHOLE_S = 120.0
# The watchdog's log of a blocked loop, and the stack below it.
STALL = re.compile(r"The event loop has been blocked for .* by:\n((?: .*\n)*)\n")


def run_example(name, **environ):
    """Run it and return its output; it must succeed and complain about nothing."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=os.environ | {"PYTHONUTF8": "1"} | environ,
        capture_output=True,
        text=True,
        timeout=WHOLE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A busy machine may block the loop as well; only an example's own code counts.
    said = STALL.sub(lambda it: it[0] if str(EXAMPLES) in it[1] else "", done.stderr)
    complaints = [line for line in said.splitlines() if not line.startswith("model call")]
    assert complaints == []  # some examples show how a failed call is logged
    return done.stdout


# What each example prints, however busy the machine is.
SAID = {
    "existing_app_before.py": [r"ten users at once: .* s for 40 model calls"],
    "existing_app_after.py": [r"ten users at once: .* s for 40 model calls"],
    "batch_with_errors.py": [r"(?s)(✓.*✓.*✗ Atlantis  ProviderRejectedError.*✓.*){3}"],
    "retry_and_timeout.py": [
        "busy twice: +answered at attempt 3",
        r"no retries: +provider_error \(worth another try: True\)",
        "a wrong key: +provider_auth after 1 attempt",
        "from outside: +TimeoutError",
        "any of them: +deadline_exceeded, retryable: True",
    ],
    "hybrid_processor.py": ["a running loop: From inside", "a Flask view: +From a view"],
    "async_with_client.py": [
        r"three streams at once: \[30, 30, 30\] pieces",
        "after the block: ClosedError",
    ],
    "streaming_text_and_sse.py": [
        "(?s)/chat.*last chunk .* 60 chunks",
        "(?s)/events.*event: done",
    ],
    "streaming_websocket.py": [r"hung up after event \d+", r"came back: .* none missing: True"],
    "running_loop_notebook.py": ["asyncio.run: +RuntimeError", r"run_async_in_sync: +\[\d+, \d+\]"],
    # Which thread gets which word, and which waiter comes first, varies.
    "async_wrapper.py": [r"two for Ada in xwe-wrapper_[01]\n", "three for Ada on the loop"],
    "rate_limit.py": [r" s  thread \d", r" s  coroutine \d", "no turn within 0.01 s: True"],
    "tuning_by_environment.py": [
        "5 threads, 100 may wait, 30 s a call, enabled: True",
        "20 threads, 10 may wait",
        "LLM_ASYNC_TIMEOUT='soon' cannot be used",
        "runs in xwe-loop",
        "runs in MainThread",
    ],
    "tools_travel_guide.py": [
        r"sync +first text .*whole",
        r"(?s)non_preemptive .*preemptive .*cut off .* s, knows the results",
    ],
    "tools_with_side_effects.py": [
        r"(?s)price starts.*the model has finished speaking.*asked for twice, ordered: \['tea'\]",
        r"ordered all the same: \['tea', 'coffee'\]",
    ],
    "tools_with_progress.py": [r"\[#{20}\] epoch 5", "first text"],
    "tools_that_fail.py": [
        r"✗ crawl +\[timeout\]",
        r"✗ convert +\[error\] .*amount",
        "6 calls, 6 results",
    ],
    "tools_in_your_app.py": [r"\[stock: 12 of tea in stock\]"],
    "asyncio_map.py": ["/cancel +cancelled", "/shield +Worth finishing"],
}


def test_every_example_is_run_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} - NOT_EXAMPLES == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_it_says_what_it_shows(name):
    output = run_example(name)
    for pattern in SAID[name]:
        assert re.search(pattern, output), output


# The import paths that stay.
PROMISED = {
    *("xwe", "xwe.errors", "xwe.mock", "xwe.settings", "xwe.web"),
    *("xwe.core.nlp.async_utils", "xwe.core.nlp.llm_client"),
}


@pytest.mark.parametrize("name", sorted(set(SAID) | NOT_EXAMPLES))
def test_it_imports_only_what_outsiders_may_rely_on(name):
    modules = set()
    for node in ast.walk(ast.parse((EXAMPLES / name).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
    assert {module for module in modules if module.partition(".")[0] == "xwe"} <= PROMISED


@pytest.mark.parametrize("name", sorted(set(SAID) | NOT_EXAMPLES))
def test_it_is_short_and_begins_with_what_it_shows(name):
    source = (EXAMPLES / name).read_text("utf-8")
    assert source.startswith('"""')
    # The map has eighteen views.
    assert source.count("\n") <= (250 if name == "asyncio_map.py" else 90)


def test_the_app_before_and_after_differ_in_five_lines():
    before, after = (
        (EXAMPLES / f"existing_app_{name}.py").read_text("utf-8").splitlines()
        for name in ("before", "after")
    )
    # A blank line that the formatter adds is no change.
    changes = [line for line in difflib.ndiff(before, after) if line[2:].strip()]
    assert sum(line.startswith("+ ") for line in changes) <= 5
    assert sum(line.startswith("- ") for line in changes) <= 5


@pytest.mark.parametrize("document", ["migrate.md", "migrate.zh-CN.md"])
def test_the_guide_shows_the_five_lines_as_they_are(document):
    guide = (EXAMPLES.parent / "docs" / document).read_text("utf-8")
    shown = guide.split("```diff\n")[1].split("```")[0].splitlines()
    for sign, name in (("+", "after"), ("-", "before")):
        source = (EXAMPLES / f"existing_app_{name}.py").read_text("utf-8").splitlines()
        lines = [line[1:].strip() for line in shown if line.startswith(sign)]
        assert lines
        assert set(lines) <= {line.strip() for line in source}


def test_forty_questions_of_ten_users_are_with_the_model_at_once(wire):
    alone = 2 * 4  # the request that is not timed, and the one user's
    all_are_there = threading.Barrier(40)

    def answer(_request, connection):
        if len(model.requests) > alone:  # none of the forty is answered before the last has arrived
            all_are_there.wait(SOON_S)
        connection.sendall(wire.reply(wire.completion()))

    model = wire.serve(answer)
    environ = {"LLM_BASE_URL": model.url.removesuffix("/chat/completions")}
    command = [sys.executable, EXAMPLES / "existing_app_after.py"]
    subprocess.run(command, env=os.environ | environ, timeout=WHOLE_S, check=True)
    assert len(model.requests) == alone + 40
    assert not all_are_there.broken


def test_the_asyncio_map_is_whole():
    output = run_example("asyncio_map.py")
    entries = (
        "gather create_task wait as_completed shield lock semaphore event queue wait_for timeout "
        "cancel run get_running_loop sleep0 run_in_executor task future"
    )
    assert [line.split()[0] for line in output.splitlines()] == [
        "/" + entry for entry in entries.split()
    ]
    assert "Error" not in output


def test_an_example_asks_the_configured_model():
    with MockServer(Behaviour(text="mine")) as model:
        output = run_example("hybrid_processor.py", LLM_BASE_URL=model.base_url)
        assert len(model.requests) == 9
    assert "From a script? → 4 characters" in output
