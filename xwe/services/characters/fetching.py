"""Fetching pages from a fixed host, within limits of time and size, and never a private address.

Redirects are followed only within the same origin. Each address is checked before it is connected
to, and the connection uses the address that was checked, so that DNS rebinding gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from xwe.errors import SourceUnavailableError

TIMEOUT_S = 15.0
# Three times the longest stored text in UTF-8, which leaves room for the page's markup.
MAX_BYTES = 2 << 20
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": "xwe (character sheets; one page at a reader's request)"}


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or mapped.is_global)


class GuardedResolver(AbstractResolver):
    """Resolves names, leaving out addresses that must not be connected to."""

    def __init__(self, resolver: AbstractResolver, is_allowed: Callable[[str], bool]) -> None:
        self._resolver = resolver
        self._is_allowed = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The host's addresses.

        Raises:
            SourceUnavailableError: none of them may be connected to.
        """
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if self._is_allowed(each["host"])]
        if not allowed:
            raise SourceUnavailableError(
                f"{host} leads to a private address here and is not asked. Paste the text instead."
            )
        return allowed

    async def close(self) -> None:
        """Release what resolving holds."""
        await self._resolver.close()


class Fetcher:
    """Fetches pages.

    Args:
        resolver: makes the resolver of each fetch.
        is_allowed: whether an IP address may be connected to.
        timeout_s: the limit for a whole fetch, redirects included.
        max_bytes: the limit for a page's size.
    """

    def __init__(
        self,
        resolver: Callable[[], AbstractResolver] = ThreadedResolver,
        *,
        is_allowed: Callable[[str], bool] = is_public,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._resolver = resolver
        self._is_allowed = is_allowed
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def fetch(self, url: str) -> tuple[str, bytes] | None:
        """The page's final address and its bytes; None if the host has no such page.

        Raises:
            SourceUnavailableError: it cannot be fetched, or redirects to another origin.
        """
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._fetch(url)
        except TimeoutError:
            raise SourceUnavailableError(
                f"{host} did not answer within {self._timeout_s:g} s. Paste the text instead."
            ) from None
        # ValueError: a redirect to something that is no address.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceUnavailableError(
                f"{host} cannot be reached from this server. Paste the text instead."
            ) from error

    async def _fetch(self, url: str) -> tuple[str, bytes] | None:
        origin = _origin(url)
        resolver = GuardedResolver(self._resolver(), self._is_allowed)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        try:
            # A session of its own: no cookies are kept; proxies and .netrc are not read.
            async with aiohttp.ClientSession(connector=connector, headers=_HEADERS) as session:
                for _ in range(MAX_REDIRECTS + 1):
                    async with session.get(url, allow_redirects=False) as response:
                        if response.status not in _REDIRECTS:
                            return await self._page(url, response)
                        url = urljoin(url, response.headers.get("Location", ""))
                    if _origin(url) != origin:
                        raise SourceUnavailableError(
                            f"{origin[1]} sends on to another place, which is not followed. "
                            "Paste the text instead."
                        )
                raise SourceUnavailableError(
                    f"{origin[1]} sends on and on. Paste the text instead."
                )
        finally:
            await resolver.close()

    async def _page(self, url: str, response: aiohttp.ClientResponse) -> tuple[str, bytes] | None:
        if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return None
        if response.status != HTTPStatus.OK:
            raise SourceUnavailableError(
                f"{response.url.host} refuses (status {response.status}). Paste the text instead."
            )
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise SourceUnavailableError(
                    f"The page of {response.url.host} is too long. Paste the text instead."
                )
        return url, bytes(body)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
