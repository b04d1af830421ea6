"""What never gets through a transport: too many bytes, and secrets."""

import gc
import logging
import traceback
from pathlib import Path

import pytest

from xwe.core.nlp.completion import CompletionRequest, TimeLimits
from xwe.errors import ProviderError, ProviderStatusError, StreamInterruptedError

MB = 1 << 20


# --- too much ---


def peak_memory_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the system tells no peak")


@pytest.fixture
def flat_memory(transport, mock_server, ask):
    """Fails when the test's peak is 32 MB or more above where it began."""
    transport.complete(ask())
    list(transport.stream(ask()))
    mock_server.forget_requests()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory_mb()
    yield
    assert peak_memory_mb() - before < 32


@pytest.mark.usefixtures("flat_memory")
def test_a_body_of_100_mb_is_cut_at_16(attempt, mock_server, ask):
    error = attempt(ask(fault="huge_body", size_bytes=100 * MB), TimeLimits(total_s=60))
    assert isinstance(error, ProviderError)
    assert "16 MB" in error.message
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


@pytest.mark.usefixtures("flat_memory")
def test_a_line_of_50_mb_is_cut_at_1(transport, mock_server, ask):
    request = ask(fault="huge_line", after_pieces=2, size_bytes=50 * MB)
    error, pieces = transport.failed_stream(request)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "too_large"
    assert f"more than {MB} bytes" in error.message
    assert len(pieces) == 2
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


def test_a_refusal_of_endless_length_is_not_read_to_its_end(open_transport, wire, ask):
    sent = []

    def script(_, connection):
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            sent.append(connection.send(b"broken " * 10_000))

    transport = open_transport(wire.serve(script).url)
    error = transport.failed_whole(ask())
    assert isinstance(error, ProviderStatusError)
    assert len(error.message) < 300
    assert sum(sent) < 32 * MB


# --- secrets ---

PROMPT = "canary prompt: the vault's combination is 12-34-56"
REPLY = "canary reply: and the key is under the mat"


@pytest.mark.parametrize(
    "behaviour",
    [
        *({"fault": "status", "status": status} for status in (400, 401, 403, 404, 429, 500)),
        *({"fault": fault} for fault in ("no_headers", "reset", "close", "html", "wrong_type")),
        *(
            {"fault": fault, "after_pieces": 2}
            for fault in ("stall", "drip", "reset", "truncate", "malformed_json", "error_event")
        ),
    ],
    ids=str,
)
def test_no_error_and_no_log_line_tells_key_prompt_or_reply(attempt, ask, key, caplog, behaviour):
    caplog.set_level(logging.DEBUG)
    request = ask(PROMPT, **({"text": REPLY} if behaviour["fault"] == "stall" else {}), **behaviour)
    error = attempt(request, TimeLimits(first_token_s=0.1, idle_s=0.1, total_s=0.2))
    told = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
    assert key not in told
    assert "canary" not in told


def test_a_provider_that_repeats_key_and_prompt_is_not_quoted(open_transport, wire, ask, key):
    said = f'{{"error": {{"message": "{PROMPT} from Bearer {key} is not understood"}}}}'.encode()
    for status in ("400 Bad Request", "403 Forbidden", "500 Oops", "200 OK"):
        reply = wire.reply(said, status=status)
        server = wire.serve(lambda _, connection, reply=reply: connection.sendall(reply))
        transport = open_transport(server.url)
        request = CompletionRequest(messages=[{"role": "user", "content": PROMPT}], model="m")
        for error in transport.failed_either_way(request):
            assert key not in error.message
            assert "vault" not in error.message
