"""The proxies in front of this server: what is believed of their word about the client."""

import ipaddress
import logging
import threading
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.http import parse_list_header
from werkzeug.middleware.proxy_fix import ProxyFix

log = logging.getLogger(__name__)

# Who has one address of IPv6 has all of its network, and could call from another each time.
_IPV6_NETWORK = 64

_UNKNOWN = (
    "A proxy passes requests on (X-Forwarded-For), and XWE_TRUSTED_PROXIES is %d, which does not "
    "fit: who calls is not known by address, so wrong logins are counted by name alone and "
    "registrations not at all. Set it to the number of proxies in front of xwe."
)


class TrustedProxies:
    """So many proxies that every request passes; each adds its client to X-Forwarded-For.

    Args:
        count: how many; 0 believes nobody.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._warning = threading.Lock()

    def before(self, application: WSGIApplication) -> WSGIApplication:
        """`application`, which sees the client's address and scheme in the place of the proxy's.

        The host is what the proxy sends as Host: X-Forwarded-Host, where a proxy does not write
        it, would be the client's own word.
        """
        if not self._count:
            return application
        # The scheme is the nearest proxy's word, for they write that header anew.
        return ProxyFix(application, x_for=self._count, x_proto=1)

    def client_address(self, environ: WSGIEnvironment) -> str | None:
        """By what a client is counted, of a request that came through `before`.

        None where it is not known, since it is a proxy's: that is everybody's. The first time
        that shows in X-Forwarded-For, the log says so.
        """
        address = _parsed(environ.get("REMOTE_ADDR", ""))
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        # Where there are no proxies, strangers who write that header stay who they are.
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
        if self._warning.acquire(blocking=False):  # never released: once is enough
            log.warning(_UNKNOWN, self._count)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None for a Unix socket, which has none, and for whatever else is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
