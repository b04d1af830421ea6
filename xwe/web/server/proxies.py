"""The proxies in front of this server, and which of their headers about the client to trust."""

import ipaddress
import logging
import threading
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.http import parse_list_header
from werkzeug.middleware.proxy_fix import ProxyFix

log = logging.getLogger(__name__)

# Whoever has one IPv6 address has its whole network, and could use another one for each call.
_IPV6_NETWORK = 64

_UNKNOWN = (
    "Requests come through a proxy (X-Forwarded-For), but XWE_TRUSTED_PROXIES is %d, which does "
    "not fit. Client addresses are unknown, so failed logins are counted by username only, and "
    "registrations are not counted. Set it to the number of proxies in front of xwe."
)


class TrustedProxies:
    """The proxies that every request passes; each adds its client to X-Forwarded-For.

    Args:
        count: the number of proxies; with 0, no header is trusted.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._warning = threading.Lock()

    def before(self, application: WSGIApplication) -> WSGIApplication:
        """`application`, given the client's address and scheme instead of the proxy's.

        The host is the Host header. X-Forwarded-Host could come from the client, where the proxy
        does not set it.
        """
        if not self._count:
            return application
        # The scheme is what the nearest proxy says: proxies replace that header.
        return ProxyFix(application, x_for=self._count, x_proto=1)

    def client_address(self, environ: WSGIEnvironment) -> str | None:
        """The address that a client is counted by, for a request that came through `before`.

        None if only a proxy's address is known, since all clients share it. The first such
        request, recognised by its X-Forwarded-For, is logged as a warning.
        """
        address = _parsed(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        # Without proxies, a client that sends this header is still counted by its own address.
        can_be_proxys = self._count > 0 or address is None or address.is_loopback
        if forwarded is not None and can_be_proxys and not self._is_named(forwarded):
            self._warn()
            return None
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
        return None if address is None else str(address)

    def _is_named(self, forwarded: str) -> bool:
        """Whether the client's address was taken from the header."""
        return 0 < self._count <= len(parse_list_header(forwarded))

    def _warn(self) -> None:
        if self._warning.acquire(blocking=False):  # never released: one warning is enough
            log.warning(_UNKNOWN, self._count)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None for a Unix socket and for anything else that is not an address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
