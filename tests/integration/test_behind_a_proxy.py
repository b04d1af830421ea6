"""Behind a proxy that ends TLS: who calls, over what, and from which page.

The proxy sends what config/nginx.conf.example says.
"""

import contextlib
import ssl
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from reverse_proxy import CERTIFICATE, example_headers, proxy
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PASSWORD = "a good password"


@pytest.fixture
def behind():
    """Puts proxies in front of a server, one before the other."""
    with contextlib.ExitStack() as running:

        def behind(server, count=1):
            port, tls = urlsplit(server.url).port, False
            for number in range(count, 0, -1):
                tls = number == 1
                it = running.enter_context(proxy(port, example_headers()[0], tls=tls))
                port = it.port
            return it.url

        yield behind


class FromAddress(HTTPAdapter):
    """Calls from an address of its own; all of 127.0.0.0/8 is this machine."""

    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def from_address(address, url, path, who, **headers):
    with requests.Session() as session:
        session.mount("https://", FromAddress(address))
        return session.post(
            url + path, json=who, headers=headers, timeout=20, verify=str(CERTIFICATE)
        )


def register(url, name, address="127.0.0.1"):
    who = {"username": name, "password": PASSWORD}
    return from_address(address, url, "/auth/register", who)


def log_in(url, name, password=PASSWORD, address="127.0.0.1", **headers):
    who = {"username": name, "password": password}
    return from_address(address, url, "/auth/login", who, **headers)


def test_every_location_of_the_example_sends_the_same_headers():
    first, *others = example_headers()
    assert {"Host", "X-Forwarded-For", "X-Forwarded-Proto"} <= {name for name, _ in first}
    assert others
    assert all(other == first for other in others)


@pytest.mark.parametrize("count", [1, 2])
def test_five_wrong_logins_lock_out_their_own_address_alone(serve, behind, count):
    url = behind(serve(XWE_TRUSTED_PROXIES=str(count)), count)
    register(url, "ada")
    codes = [
        # Whatever they say of themselves.
        log_in(url, f"nobody{n}", "wrong", "127.0.0.2", **{"X-Forwarded-For": f"192.0.2.{n}"})
        for n in range(6)
    ]
    assert [reply.status_code for reply in codes] == [401] * 5 + [429]
    assert log_in(url, "ada", address="127.0.0.2").status_code == 429
    assert log_in(url, "ada", address="127.0.0.3").status_code == 200


def test_without_the_setting_a_proxy_is_nobodys_address_and_the_log_says_so_once(serve, behind):
    server = serve()
    url = behind(server)
    register(url, "ada")
    for number in range(8):
        assert log_in(url, f"nobody{number}", "wrong").status_code == 401
    assert log_in(url, "ada").status_code == 200
    wrong = [log_in(url, "ada", "wrong").status_code for _ in range(6)]
    assert wrong == [401] * 5 + [429]  # by name they are counted
    warnings = [line for line in server.log.splitlines() if "XWE_TRUSTED_PROXIES" in line]
    assert len(warnings) == 1
    assert "WARN" in warnings[0]


def test_too_high_a_number_is_said_too(serve, behind):
    server = serve(XWE_TRUSTED_PROXIES="3")
    url = behind(server)
    for number in range(6):
        assert log_in(url, f"nobody{number}", "wrong").status_code == 401
    assert server.log.count("XWE_TRUSTED_PROXIES is 3") == 1


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_registrations_are_limited_by_address(serve, behind, proxies):
    server = serve(XWE_TRUSTED_PROXIES=proxies, XWE_REGISTRATIONS_PER_HOUR="2")
    url = behind(server) if proxies == "1" else None

    def make(name, address="127.0.0.1"):
        if url is not None:
            return register(url, name, address)
        who = {"username": name, "password": PASSWORD}
        return requests.post(f"{server.url}/auth/register", json=who, timeout=20)

    replies = [make(f"user{number}") for number in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["error"]["code"] == "limit_exceeded"
    assert 0 < int(replies[2].headers["Retry-After"]) <= 3600
    if url is not None:
        assert make("elsewhere", "127.0.0.2").status_code == 200
        assert log_in(url, "user0").status_code == 200


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_a_page_over_tls_is_this_servers_and_its_cookie_is_secure(serve, behind, proxies):
    """The scheme is https at the proxy and http behind it."""
    url = behind(serve(XWE_TRUSTED_PROXIES=proxies))
    register(url, "ada")
    own = {"Origin": url}
    signed_in = log_in(url, "ada", **own)
    assert signed_in.status_code == 200
    assert "Secure" in signed_in.headers["Set-Cookie"]
    cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}

    def say(origin):
        headers = cookie | origin
        return from_address("127.0.0.1", url, "/api/llm/chat", {"message": "hi"}, **headers)

    assert say(own).status_code == 200
    for foreign in ({"Origin": "https://evil.test"}, {"Origin": "https://localhost:1"}, {}):
        assert say(foreign).status_code == 403
    # A page cannot write this header; a proxy that lets it through makes no page our own.
    forged = {"Origin": "https://evil.test", "X-Forwarded-Host": "evil.test"}
    assert say(forged).status_code == 403


def test_websockets_pass_and_foreign_ones_do_not(serve, behind):
    url = behind(serve(XWE_TRUSTED_PROXIES="1"))
    options = {"ssl": ssl.create_default_context(cafile=CERTIFICATE), "open_timeout": 60}
    address = f"wss{url.removeprefix('https')}/ws"
    with connect(address, additional_headers={"Origin": url}, **options) as client:
        client.send('{"type": "ping"}')
        assert client.recv(60) == '{"type":"pong"}'
    with pytest.raises(InvalidStatus) as refused:
        connect(address, additional_headers={"Origin": "https://evil.test"}, **options)
    assert refused.value.response.status_code == 403
