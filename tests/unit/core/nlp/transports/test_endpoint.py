"""Where a transport connects to, and what it says of a failure."""

import errno
import socket
import ssl

import pytest

from xwe.core.nlp.transports.endpoint import Endpoint, request_headers, was_reset
from xwe.errors import SettingsError

URL = "https://api.example.com/v1/chat/completions"


@pytest.fixture(autouse=True)
def no_proxy_of_the_machines_own(monkeypatch):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, "api.example.com:443"),
        ("http://localhost:11434/v1/chat/completions", "localhost:11434"),
        ("http://[::1]:8000/v1/chat/completions?api-version=1", "[::1]:8000"),
        ("  http://host/v1  ", "host:80"),
    ],
)
def test_an_address_is_shown_as_host_and_port_only(url, address):
    endpoint = Endpoint.parse(url)
    assert endpoint.address == address
    assert endpoint.url == url.strip()
    assert "api-version" not in endpoint.unreachable(OSError()).message


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com/v1", "ftp://host/v1", "https:///v1", "http://host:port/v1", "http://["],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(SettingsError, match="LLM_BASE_URL"):
        Endpoint.parse(url)


def test_a_password_in_the_address_is_refused_and_not_shown():
    with pytest.raises(SettingsError) as caught:
        Endpoint.parse("https://me:canary@host/v1")
    assert "canary" not in str(caught.value)


def test_the_environments_proxy_is_used(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert Endpoint.parse(URL).proxy == "http://proxy:3128"
    assert Endpoint.parse("http://api.example.com/v1").proxy is None


def test_a_host_that_is_excepted_needs_no_proxy(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert Endpoint.parse(URL).proxy is None
    assert Endpoint.parse("https://api.elsewhere.com/v1").proxy == "http://proxy:3128"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_is_never_reached_through_a_proxy(monkeypatch, host):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert Endpoint.parse(f"http://{host}:8000/v1").proxy is None


def test_a_proxy_that_is_not_spoken_is_refused_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:canary@proxy:1080")
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        Endpoint.parse(URL)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "two\nlines", "schlüssel", "tab\tbed", "\x00"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(SettingsError) as caught:
        request_headers(key)
    assert not key.strip() or key not in str(caught.value)


def test_white_space_around_a_key_is_a_slip_of_the_pen():
    assert request_headers(" sk-1\n")["Authorization"] == "Bearer sk-1"


def test_an_address_that_is_refused_is_shown_without_its_query():
    with pytest.raises(SettingsError) as caught:
        Endpoint.parse("api.example.com/v1?key=canary")
    assert "canary" not in str(caught.value)


def test_certificates_that_do_not_exist_are_found_out_at_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        Endpoint.parse(URL)


def test_certificates_may_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert Endpoint.parse(URL).tls_context() is not None


def test_certificates_are_read_only_where_tls_is_spoken(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    plain = URL.replace("https:", "http:")
    assert Endpoint.parse(plain).tls_context() is None
    monkeypatch.setenv("http_proxy", "https://proxy.example.com:3128")
    assert Endpoint.parse(plain).tls_context() is not None


def caused_by(cause):
    wrapping = RuntimeError("the library's wrapping")
    wrapping.__cause__ = cause
    return wrapping


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "host name is unknown"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset by peer"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS handshake failed"),
        (TimeoutError(), "no connection in time"),
        (ExceptionGroup("all failed", [OSError(errno.ENETUNREACH, "x")]), "unreachable"),
        (EOFError(), "connection ended"),
    ],
)
def test_the_cause_below_a_librarys_wrapping_is_what_people_are_told(cause, words):
    message = Endpoint.parse(URL).unreachable(caused_by(cause)).message
    assert words in message
    assert "api.example.com:443" in message
    assert "wrapping" not in message


def test_a_reset_is_told_from_an_end_in_order():
    assert was_reset(caused_by(ConnectionResetError(errno.ECONNRESET, "x")))
    assert was_reset(caused_by(BrokenPipeError(errno.EPIPE, "x")))
    assert not was_reset(caused_by(EOFError()))
    assert not was_reset(caused_by(TimeoutError()))


def test_causes_that_go_in_circles_are_looked_at_once():
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert not was_reset(one)
