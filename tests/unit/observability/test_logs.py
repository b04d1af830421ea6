"""Log lines say what happened, to whom, and nothing that is nobody's business."""

import io
import logging
import re
import subprocess
import sys

import orjson
import pytest

from xwe.core.nlp.observation import request_id, user_id
from xwe.observability.logs import configure_logging, line_formatter
from xwe.settings import load_settings

CANARY = "canary-key-0123456789"


@pytest.fixture
def write():
    """What one log call writes, in the format that the variables ask for."""

    def one(call, **environ):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(line_formatter(load_settings({"DEEPSEEK_API_KEY": CANARY} | environ)))
        log = logging.Logger("xwe.test")  # noqa: LOG001 - gone with the test
        log.addHandler(handler)
        call(log)
        return stream.getvalue()

    return one


def test_a_json_line_names_the_request_and_the_user(write):
    asked_by, asked_in = user_id.set("u7"), request_id.set("r1")
    try:
        line = orjson.loads(write(lambda log: log.info("你好 %d\nsecond line", 3)))
    finally:
        user_id.reset(asked_by)
        request_id.reset(asked_in)
    assert line.pop("time").endswith("+00:00")
    assert line.pop("pid") > 0
    assert line == {
        "level": "INFO",
        "logger": "xwe.test",
        "message": "你好 3\nsecond line",
        "request_id": "r1",
        "user_id": "u7",
    }


def test_an_exception_is_one_line_with_its_text(write):
    def fail(log):
        try:
            int(CANARY)
        except ValueError:
            log.exception("failed")

    text = write(fail)
    assert text.count("\n") == 1
    line = orjson.loads(text)
    assert "Traceback" in line["exception"]
    assert "base 10: '[redacted]'" in line["exception"]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_key_does_not_get_through(write, log_format):
    text = write(lambda log: log.warning("key=%s", CANARY), LOG_FORMAT=log_format)
    assert CANARY not in text
    assert "[redacted]" in text


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_line_that_is_wrong_is_still_a_line(write, log_format):
    assert "%d apples" in write(lambda log: log.info("%d apples", "no"), LOG_FORMAT=log_format)
    assert write(lambda log: log.info("lone \ud800 surrogate"), LOG_FORMAT="json")


def test_text_is_for_people(write):
    text = write(lambda log: log.info("hello"), LOG_FORMAT="text")
    assert re.search(r" INFO xwe\.test[^:]*: hello\n$", text)


def test_importing_everything_configures_nothing():
    code = (
        "import logging, xwe.web, xwe.observability.logs, xwe.web.server.gunicorn_logger\n"
        "assert not logging.getLogger().handlers\n"
        "assert not logging.getLogger('xwe').handlers\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_configuring_twice_writes_once_and_libraries_stay_quiet():
    code = (
        "import logging\n"
        "from xwe.observability.logs import configure_logging\n"
        "from xwe.settings import load_settings\n"
        "for _ in range(2): configure_logging(load_settings({'LOG_LEVEL': 'DEBUG'}))\n"
        "logging.getLogger('xwe.test').debug('ours')\n"
        "logging.getLogger('openai._base_client').debug('theirs')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert orjson.loads(line)["message"] == "ours"


def test_logging_that_somebody_has_set_up_is_left_alone(monkeypatch):
    root, theirs = logging.getLogger(), logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [theirs])
    configure_logging(load_settings({}))
    assert root.handlers == [theirs]
    assert theirs.formatter is None
