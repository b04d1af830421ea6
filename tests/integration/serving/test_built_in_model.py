"""The model server that is there where nothing is set."""

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from xwe.mock import MockServer
from xwe.web.server import model_discovery
from xwe.web.server.built_in_model import BuiltInModel
from xwe.web.server.model_discovery import first_listed_model

log = logging.getLogger("test")


def is_answering(base_url):
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture
def model():
    it = BuiltInModel(log)
    yield it
    it.stop()


def test_it_answers_from_the_start_to_the_stop(model):
    base_url = model.start()
    assert is_answering(base_url)
    model.stop()
    assert not is_answering(base_url)
    model.stop()


def test_it_comes_back_on_its_port_when_it_dies(model, caplog):
    base_url = model.start()
    os.kill(model._process.pid, signal.SIGKILL)
    while "being restarted" not in caplog.text or not is_answering(base_url):
        pass
    assert is_answering(base_url)


STARTER = """
import logging, sys
from xwe.web.server.built_in_model import BuiltInModel
sys.stdout.write(BuiltInModel(logging.getLogger()).start() + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_it_ends_with_whoever_started_it_however_that_ends():
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with starter:
        base_url = starter.stdout.readline().decode().strip()
        assert is_answering(base_url)
        starter.kill()
    while is_answering(base_url):
        pass


# Ctrl-C begins a drain, which is the time in which answers that run are still to be finished.
DRAINING_STARTER = "import signal; signal.signal(signal.SIGINT, lambda *_: None)" + STARTER


def test_ctrl_c_in_the_terminal_leaves_it_to_finish_what_it_is_saying():
    starter = subprocess.Popen(
        [sys.executable, "-c", DRAINING_STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # as a terminal's foreground job: one group
    )
    with starter:
        address = urlsplit(starter.stdout.readline().decode().strip())
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        asked = {"model": "m", "stream": True, "max_tokens": 30}
        asked["messages"] = [{"role": "user", "content": "hi"}]
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
        response = connection.getresponse()
        said = response.readline()
        os.killpg(starter.pid, signal.SIGINT)
        said += response.read()
        assert is_answering(address.geturl()), "and it takes the next question"
        connection.close()
        starter.stdin.close()
    assert said.startswith(b"data: {")
    assert said.endswith(b"data: [DONE]\n\n")


def test_one_that_does_not_start_is_reported(model, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="LLM_BASE_URL"):
        model.start()


def test_a_server_is_asked_for_its_first_model(monkeypatch):
    monkeypatch.setattr(model_discovery, "TIMEOUT_S", 60.0)  # a busy machine may take its time
    with MockServer() as server:
        assert first_listed_model(server.base_url, "any") == "xwe-demo"


def test_a_server_that_lists_nothing_is_no_error():
    assert first_listed_model("http://127.0.0.1:9/v1", "any") is None
    with MockServer() as server:
        assert first_listed_model(server.base_url + "/elsewhere", "any") is None
