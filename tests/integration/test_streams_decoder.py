"""A decoder that we did not write reads our streams: the `ai` package, whose convention it is."""

import json
import shutil
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from npm_packages import npm_installed
from stream_client import post, reading

from xwe.mock import Behaviour

READER = Path(__file__).with_name("ui_message_reader")


@pytest.fixture(scope="module")
def installed():
    """The reader with its packages, in a folder of its own for each lock file."""
    lock = READER.joinpath("package-lock.json").read_bytes()
    files = [READER / name for name in ("package.json", "package-lock.json", ".npmrc")]
    place = npm_installed(f"ui-message-reader-{sha256(lock).hexdigest()[:16]}", "ci", files=files)
    shutil.copy(READER / "read.mjs", place)
    return place


@pytest.fixture
def decode(installed, server):
    """Start the decoder; its standard output is what it read, once it has."""
    running = []

    def start(path="/api/llm/stream", said='{"message": "hi"}'):
        process = subprocess.Popen(
            ["node", "read.mjs", server.url + path],
            cwd=installed,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        process.stdin.write(said)
        process.stdin.close()
        process.stdin = None
        return lambda: _decoded(process)

    yield start
    for process in running:
        process.kill()
        process.communicate()


def _decoded(process):
    out, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    decoded = json.loads(out)
    assert decoded["schemaErrors"] == []
    return decoded


@pytest.fixture(scope="module")
def server(serve):
    return serve(XWE_MAX_LLM_RETRIES="1", XWE_DRAIN_TIMEOUT="0.5")


def parts_of(decoded, kind):
    return [part for part in decoded["message"]["parts"] if part["type"] == kind]


def test_text_reasoning_and_the_end_arrive_as_the_convention_means_them(decode, mock_server):
    mock_server.script(Behaviour(text="雾中桥 😀", reasoning="先想一想"))
    decoded = decode()()
    assert decoded["errors"] == []
    [text], [thought] = parts_of(decoded, "text"), parts_of(decoded, "reasoning")
    assert (text["text"], text["state"]) == ("雾中桥 😀", "done")
    assert (thought["text"], thought["state"]) == ("先想一想", "done")
    assert decoded["message"]["metadata"]["finishReason"] == "stop"
    assert decoded["kinds"][-2:] == ["data-timing", "finish"]
    # What is transient does not become part of the message.
    assert {part["type"] for part in decoded["message"]["parts"]} == {
        *("step-start", "text", "reasoning")
    }


def test_an_error_arrives_as_an_error_and_the_text_before_it_stays(decode, mock_server):
    mock_server.script(Behaviour(text="one two three four", fault="truncate", after_pieces=3))
    decoded = decode()()
    assert len(decoded["errors"]) == 1
    assert decoded["kinds"][-1] == "error"
    assert "one" in parts_of(decoded, "text")[0]["text"]


def test_a_stopped_answer_arrives_as_aborted(decode, server, mock_server):
    """The decoder rejoins an answer that another reader began, and sees it stopped."""
    mock_server.script(Behaviour(text="one two three", fault="stall", after_pieces=2))
    with reading(server.url, message="hi") as reader:
        reader.until("text-delta")
        assert post(server.url, f"/api/generations/{reader.stream_id}/stop")[0] == 200
        list(reader)
    decoded = decode(f"/api/generations/{reader.stream_id}/events", "")()
    assert decoded["kinds"][-1] == "abort"
    assert parts_of(decoded, "text")[0]["text"]
    assert decoded["errors"] == []


def test_the_end_of_the_server_is_no_schema_error(decode, server, mock_server):
    """The last test of the module: it ends the server."""
    mock_server.script(Behaviour(text="one two three", fault="stall", after_pieces=2))
    decoded = decode()
    mock_server.wait_until(lambda: mock_server.requests, 60)
    server.process.send_signal(signal.SIGTERM)
    result = decoded()
    assert result["kinds"][-1] == "data-shutdown"
    assert result["errors"] == []
