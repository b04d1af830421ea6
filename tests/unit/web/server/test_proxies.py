"""Whose address counts as the client's, told by a WSGI environ."""

import logging

import pytest

from xwe.web.server.proxies import TrustedProxies


def address(count, remote, forwarded=None, proxies=None):
    """What the application behind `count` proxies counts a client by."""
    proxies = proxies or TrustedProxies(count)
    seen = []

    def application(environ, start_response):
        seen.append(proxies.client_address(environ))
        return []

    environ = {"REMOTE_ADDR": remote}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    proxies.before(application)(environ, None)
    return seen[0]


@pytest.mark.parametrize(
    ("count", "remote", "forwarded", "expected"),
    [
        (0, "192.0.2.1", None, "192.0.2.1"),
        (0, "127.0.0.1", None, "127.0.0.1"),
        (0, "192.0.2.1", "198.51.100.1", "192.0.2.1"),  # a stranger who says so
        (0, "127.0.0.1", "198.51.100.1", None),
        (0, "::1", "198.51.100.1", None),
        (0, "::ffff:127.0.0.1", "198.51.100.1", None),
        (0, "", "198.51.100.1", None),  # a Unix socket
        (0, "", None, None),
        (1, "127.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "127.0.0.1", "127.0.0.1", "127.0.0.1"),  # somebody at the machine, by the proxy
        (1, "10.0.0.1", "forged, 198.51.100.1", "198.51.100.1"),
        (1, "", "198.51.100.1", "198.51.100.1"),
        (1, "127.0.0.1", "unknown", None),
        (1, "127.0.0.1", None, "127.0.0.1"),  # past the proxy
        (2, "10.0.0.1", "forged, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "10.0.0.1", "198.51.100.1", None),  # one is missing
    ],
)
def test_a_client_is_who_the_outermost_trusted_proxy_says(count, remote, forwarded, expected):
    assert address(count, remote, forwarded) == expected


def test_the_addresses_of_one_network_of_ipv6_are_one():
    one, same, other = (
        address(0, text) for text in ("2001:db8::1", "2001:db8::ffff:0:0:2", "2001:db8:0:1::1")
    )
    assert one == same != other


def test_that_the_number_does_not_fit_is_said_once(caplog):
    proxies = TrustedProxies(0)
    with caplog.at_level(logging.WARNING):
        address(0, "127.0.0.1", None, proxies)
        address(0, "192.0.2.1", "198.51.100.1", proxies)
        assert caplog.records == []
        for _ in range(3):
            address(0, "127.0.0.1", "198.51.100.1", proxies)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "XWE_TRUSTED_PROXIES" in caplog.records[0].getMessage()
