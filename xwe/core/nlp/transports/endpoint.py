"""The address a transport connects to, and the errors when that fails."""

import errno
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from xwe.errors import ProviderUnreachableError, SettingsError

_RESETS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ESHUTDOWN})

# The most telling causes, wherever in the chain they are.
_TELLING = (
    (socket.gaierror, "its host name is unknown"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted (SSL_CERT_FILE names what is)"),
    (TimeoutError, "no connection in time"),
    (ssl.SSLError, "the TLS handshake failed"),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of chat completions.

    Attributes:
        url: the full address.
        address: host and port, for messages.
        proxy: the environment's proxy for it (HTTPS_PROXY, NO_PROXY …), read once.
        ca_bundle: the environment's trusted certificates, a file or a folder; None for the
            library's own.
    """

    url: str
    address: str
    proxy: str | None
    ca_bundle: str | None

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """The endpoint at `url`.

        Raises:
            SettingsError: it is not an address, or it contains a user name or password (which
                would end up in logs).
        """
        url = url.strip()
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            port = None
        if port is None or not parts.hostname or parts.username or parts.password:
            shown = "…" if "@" in url else url.partition("?")[0]
            raise SettingsError(
                "LLM_BASE_URL", shown, "an address is http(s)://host[:port]/path, without a user"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(url, f"{host}:{port}", _proxy_for(parts), _ca_bundle())

    def tls_context(self) -> ssl.SSLContext | None:
        """The environment's trusted certificates, if TLS is used; slow to read."""
        addresses = (self.url, self.proxy or "")
        if self.ca_bundle is None or not any(a.lower().startswith("https:") for a in addresses):
            return None
        if Path(self.ca_bundle).is_dir():
            return ssl.create_default_context(capath=self.ca_bundle)
        return ssl.create_default_context(cafile=self.ca_bundle)

    def unreachable(self, cause: BaseException) -> ProviderUnreachableError:
        """The error for a connection that failed, or ended before the reply."""
        return ProviderUnreachableError(
            f"No answer from {self.address}: {_why(cause)}."
            " Is the server running? Check LLM_BASE_URL."
        )

    def broken(self, cause: BaseException) -> ProviderUnreachableError:
        """The error for a connection that ended during the reply."""
        return ProviderUnreachableError(
            f"The connection to {self.address} broke within the reply: {_why(cause)}."
        )


def request_headers(api_key: str) -> dict[str, str]:
    """The headers of every request.

    Raises:
        SettingsError: the key cannot be sent in a header.
    """
    api_key = api_key.strip()
    if not (api_key and api_key.isascii() and api_key.isprintable()):
        raise SettingsError("LLM_API_KEY", "…", "a key is one line of printable ASCII")
    return {
        "Authorization": f"Bearer {api_key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        # Compression saves little on replies of this size and delays the pieces of a stream.
        "Accept-Encoding": "identity",
        "User-Agent": "xwe",
    }


def was_reset(cause: BaseException) -> bool:
    """Whether the peer reset the connection instead of closing it."""
    return any(isinstance(exc, OSError) and exc.errno in _RESETS for exc in causes(cause))


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes; the libraries wrap the one that says something."""
    seen = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            exc = exc.exceptions[0]
        else:
            exc = exc.__cause__ or exc.__context__


def _proxy_for(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise SettingsError(f"{parts.scheme.upper()}_PROXY", "…", "only http(s) proxies are spoken")
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _ca_bundle() -> str | None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and not Path(path).exists():
            raise SettingsError(name, path, "a file of certificates that exists")
        if path:
            return path
    return None


def _why(cause: BaseException) -> str:
    chain = list(causes(cause))
    for kind, words in _TELLING:
        if any(isinstance(exc, kind) for exc in chain):
            return words
    for exc in chain:
        if isinstance(exc, OSError) and exc.errno:
            return os.strerror(exc.errno).lower()
    return "the connection ended"
