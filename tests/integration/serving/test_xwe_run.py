"""`xwe run` and gunicorn with our configuration: what starts, what refuses to, and what is said."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stream_client import kinds_of, reading

from xwe.mock import Behaviour, MockServer

ROOT = Path(__file__).parents[3]
XWE_RUN = (sys.executable, "-m", "xwe.cli", "run")
GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "--pythonpath", str(ROOT)),
    *("-c", str(ROOT / "config" / "gunicorn.conf.py"), "wsgi:application"),
)
# As XWE_RUN, but a model server that a busy machine keeps from answering is waited for.
PATIENTLY = """
from xwe.cli.commands import xwe_command
from xwe.web.server import model_discovery

model_discovery.TIMEOUT_S = 60.0
xwe_command(["run"])
"""
PATIENT_RUN = (sys.executable, "-c", PATIENTLY)
BOTH = pytest.mark.parametrize("command", [XWE_RUN, GUNICORN], ids=["xwe-run", "gunicorn"])
OPEN_AND_REAL = {"DEEPSEEK_API_KEY": "sk-canary", "XWE_ACCESS": "open"}


def ask(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@BOTH
def test_with_nothing_set_it_serves_answers_of_the_built_in_model(start_server, command):
    server = start_server(command).wait_until_ready()
    assert "built-in demo model" in server.announcement[0]
    assert "DEEPSEEK_API_KEY" in server.announcement[1]
    assert ask(server, "GET", "/health")[0] == 200
    status, body = ask(server, "POST", "/api/llm/chat", {"message": "hello"})
    assert status == 200, server.log
    assert json.loads(body)["response"]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "Traceback" not in server.log


@BOTH
@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("PORT", "eighty", "a whole number from 0 to 65535"),
        ("LLM_ASYNC_TIMEOUT", "soon", "a number of seconds above 0"),
        ("XWE_WEB_THREADS", "100", "at least 181"),
        ("LLM_PROVIDER", "deepseek", "DEEPSEEK_API_KEY"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line(
    start_server, command, variable, value, allowed
):
    server = start_server(command, **{variable: value})
    assert server.wait() == 2
    assert server.log.count("\n") == 1
    assert server.log.startswith(f"xwe: {variable}={value!r} cannot be used: ")
    assert allowed in server.log


@pytest.mark.parametrize(
    ("command", "environ"),
    [
        ((*GUNICORN, "-b", "0.0.0.0:0"), {}),
        ((*GUNICORN, "-b", "127.0.0.1:0", "-b", "[::]:0"), {}),
        (XWE_RUN, {"HOST": "0.0.0.0"}),  # noqa: S104 - the subject
    ],
    ids=["-b", "second -b", "HOST"],
)
def test_an_open_real_model_is_not_served_to_strangers(start_server, command, environ):
    server = start_server(command, **OPEN_AND_REAL, **environ)
    assert server.wait() == 2
    assert "xwe: XWE_ACCESS='open' cannot be used: login" in server.log.splitlines()[-1]
    assert "Traceback" not in server.log
    assert "Booting worker" not in server.log


def test_an_open_real_model_is_served_to_this_machine(start_server):
    server = start_server((*GUNICORN, "-b", "127.0.0.1:0"), HOST="0.0.0.0", **OPEN_AND_REAL)  # noqa: S104 - what -b overrides
    server.wait_until_ready()
    assert "deepseek" in server.announcement[0]
    assert ask(server, "GET", "/health")[0] == 200
    assert "sk-canary" not in "\n".join(server.announcement) + server.log


def test_only_an_address_is_enough_for_a_server_of_models(start_server):
    with MockServer(Behaviour(text="from there")) as model:
        server = start_server(PATIENT_RUN, LLM_BASE_URL=model.base_url, XWE_ACCESS="open")
        server.wait_until_ready()
        status, body = ask(server, "POST", "/api/llm/chat", {"message": "hello"})
        assert (status, json.loads(body)["response"]) == (200, "from there")
        assert model.requests[-1].body["model"] == "xwe-demo"  # the first that it lists


def test_the_env_file_of_the_directory_counts_and_the_environment_wins(start_server, tmp_path):
    (tmp_path / ".env").write_text("LLM_PROVIDER=openai\nOPENAI_API_KEY=sk-1\nLLM_MODEL=filed\n")
    server = start_server(XWE_RUN, LLM_MODEL="set").wait_until_ready()
    assert "answers come from set (openai" in server.announcement[0]


def test_what_does_nothing_is_said_at_the_start(start_server):
    server = start_server(XWE_RUN, LLM_ASYNC_WORKER="7").wait_until_ready()
    assert "Did you mean LLM_ASYNC_WORKERS?" in server.log


def test_the_port_option_wins(start_server):
    taken = start_server(XWE_RUN, LLM_PROVIDER="mock", LLM_BASE_URL="http://127.0.0.1:9/v1")
    taken.wait_until_ready()
    free = subprocess.run(
        [*XWE_RUN, "--port", "no"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (free.returncode, free.stdout) == (2, "")
    assert free.stderr.startswith("xwe: PORT='no'")


def test_sigterm_lets_a_running_stream_finish(start_server):
    text = "one two three four five six seven eight nine ten"
    with MockServer(Behaviour(text=text, tokens_per_s=10)) as model:
        server = start_server(XWE_RUN, LLM_BASE_URL=model.base_url, XWE_ACCESS="open")
        server.wait_until_ready()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/chat?prompt=count")
        response = connection.getresponse()
        first = response.read(3)
        server.signal(signal.SIGTERM)
        assert (first + response.read()).decode() == text
        connection.close()
        assert server.wait() == 0
    assert "Traceback" not in server.log


def test_ctrl_c_is_never_told_to_a_reader_as_the_models_failure(start_server):
    """The built-in model hears nothing of it: whatever ends the answer is the server itself."""
    server = start_server(XWE_RUN).wait_until_ready()
    with reading(f"http://127.0.0.1:{server.port}", message="hi") as reader:
        seen = reader.until("text-delta")
        os.killpg(server.process.pid, signal.SIGINT)
        seen += list(reader)
    assert "error" not in kinds_of(seen)
    assert server.wait() == 0
    assert "Traceback" not in server.log
    assert "model server ended" not in server.log


def test_a_full_server_refuses_at_once_and_still_answers_for_its_health(start_server):
    with MockServer(Behaviour(fault="no_headers")) as model:
        # 24 threads less 2 that may wait, 2 for streams and 16 spare: 4 calls run.
        server = start_server(
            XWE_RUN,
            LLM_PROVIDER="mock",
            LLM_BASE_URL=model.base_url,
            XWE_WEB_THREADS="24",
            LLM_ASYNC_QUEUE_SIZE="2",
            XWE_MAX_STREAMS="2",
            LLM_ASYNC_TIMEOUT="600",  # so that none of the calls ends meanwhile
        ).wait_until_ready()
        body = b'{"message": "hello"}'
        head = b"POST /api/llm/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for client in server.connect_many(6):
            client.sendall(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        model.wait_until(lambda: len(model.requests) == 4, timeout_s=60)
        # Until the two that wait have arrived; a starved loop may be another reason for a moment.
        while json.loads(ask(server, "GET", "/health/ready")[1]).get("reasons") != ["queue_full"]:
            pass
        assert ask(server, "POST", "/api/llm/chat", {"message": "hello"})[0] == 503
        assert ask(server, "GET", "/health/live")[0] == 200
        assert len(model.requests) == 4


def test_sighup_brings_new_workers_that_talk_to_the_same_model(start_server):
    server = start_server(XWE_RUN).wait_until_ready()
    assert ask(server, "POST", "/api/llm/chat", {"message": "hello"})[0] == 200
    server.announcement.clear()
    server.signal(signal.SIGHUP)
    server.wait_until_ready()
    while "Worker exiting" not in server.log:  # until then the old one may refuse, as it drains
        pass
    assert ask(server, "POST", "/api/llm/chat", {"message": "hello"})[0] == 200
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "Traceback" not in server.log
