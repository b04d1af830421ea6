"""Refuses to let strangers spend the operator's money, by the addresses that are really bound."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from xwe.errors import SettingsError
from xwe.settings.groups import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, an IP address or a name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        # Any other name may resolve to any address, now or later.
        return host == "localhost"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def check_exposure(settings: Settings, bound_addresses: Iterable[str]) -> None:
    """Refuse to serve a real model to everyone on an address that other machines can reach.

    Args:
        settings: the current settings.
        bound_addresses: the hosts of the listening sockets, without ports.

    Raises:
        SettingsError: access is open, the model is real, and an address is not loopback.
    """
    if settings.access.mode != "open" or settings.provider.is_demo:
        return
    for host in bound_addresses:
        if not is_loopback(host):
            raise SettingsError(
                "XWE_ACCESS",
                "open",
                f"login, since {host} is reached from outside and the model "
                f"({settings.provider.name}) is a real one; or listen on 127.0.0.1",
            )
