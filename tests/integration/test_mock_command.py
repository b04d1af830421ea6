"""`xwe mock` as a process."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

COMMAND = [sys.executable, "-c", "from xwe.mock.command import mock_command; mock_command()"]
SOON_S = 60.0


@contextlib.contextmanager
def running(*options, **settings):
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def base_url(process):
    return re.search(r"http://\S+", process.stdout.readline())[0]


def ask(base_url, **changes):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **changes}
    headers = {"Authorization": "Bearer k"}
    reply = requests.post(f"{base_url}/chat/completions", json=body, headers=headers, timeout=20)
    return reply.json()["choices"][0]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_serves_and_ends_cleanly(signum):
    with running("--port", "0", "--length", "7", "--api-key", "k") as process:
        choice = ask(base_url(process))
        assert len(choice["message"]["content"].split()) >= 5
        process.send_signal(signum)
        out, err = process.communicate(timeout=SOON_S)
    assert (process.returncode, out, err) == (0, "", "")


def test_options_and_a_requests_wishes_are_both_followed():
    with running("--port", "0", "--text", "fixed", "--finish-reason", "length") as process:
        address = base_url(process)
        assert ask(address)["message"]["content"] == "fixed"
        choice = ask(address, mock={"text": "own"})
        assert (choice["message"]["content"], choice["finish_reason"]) == ("own", "length")


def test_it_ends_with_an_open_request():
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with running("--port", "0", "--fault", "stall") as process:
        host, port = base_url(process).split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=SOON_S) as wire:
            wire.sendall(head % len(body) + body)
            begun = b""
            while not begun.endswith(b"\r\n\r\n"):  # the request has been read by now
                begun += (part := wire.recv(65_536))
                assert part
            process.send_signal(signal.SIGTERM)
            assert wire.recv(1) == b""
        assert process.wait(timeout=SOON_S) == 0


def test_it_ends_when_its_parent_has():
    """Its output ends only when the last process that holds it has ended."""
    command = [*COMMAND, "--port", "0", "--parent-pid", "{pid}"]
    parent = (
        "import os, subprocess, sys, time\n"
        f"command = [part.replace('{{pid}}', str(os.getpid())) for part in {command!r}]\n"
        "subprocess.Popen(command)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert ask(base_url(process))["finish_reason"] == "stop"
        os.kill(process.pid, signal.SIGKILL)
        assert process.stdout.read() == ""


def test_it_does_not_stay_when_its_parent_is_gone_already():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with running("--port", "0", "--parent-pid", str(gone.pid)) as process:
        assert process.wait(timeout=SOON_S) == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--latency", "-1"], "Invalid value for --latency: latency_s must be a number"),
        (["--fault", "explode"], "Invalid value for '--fault'"),
        (["--status", "200"], "Invalid value for --status"),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_a_wrong_option_is_named(options, complaint):
    with running(*options) as process:
        _, err = process.communicate(timeout=SOON_S)
    assert process.returncode == 2
    assert complaint in err


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running("--port", str(port)) as process:
            _, err = process.communicate(timeout=SOON_S)
    assert process.returncode == 1
    assert err.startswith(f"Error: Cannot listen on 127.0.0.1:{port}: ")
    assert err.count("\n") == 1
