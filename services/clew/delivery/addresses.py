"""Which addresses a receiver may have: those of the internet, and networks that the operator names.

A receiver in a private network, at this machine or at a cloud's metadata address would let whoever
writes rules send requests to services that trust their neighbours.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from clew.delivery.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Networks that Python's `is_global` lets pass: translations of IPv4, 6to4 relays, old local ones.
REFUSED = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "192.88.99.0/24", "fec0::/10"))
)


@dataclass(frozen=True)
class Networks:
    """The networks that receivers may lie in besides the internet."""

    allowed: tuple[Network, ...] = field(default=())

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """The networks of CIDR texts such as 10.1.0.0/16. Raises ValueError."""
        return cls(tuple(ipaddress.ip_network(text) for text in texts))

    def allows(self, address: Address) -> bool:
        """Whether a receiver may have this address."""
        address = _embedded(address)
        if any(address in network for network in self.allowed):
            return True
        return (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not any(address in network for network in REFUSED)
        )

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, as texts. Raises AddressRefused when one of them is not allowed,
        even beside others that are; OSError when there is none."""
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is not the name of a host") from error
        texts = list(dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos))
        for text in texts:
            if not self.allows(ipaddress.ip_address(text)):
                raise AddressRefused(
                    f"{host} is {text}, which is not an address of the internet: name its network "
                    "in CLEW_ALERT_NETWORKS if receivers may lie there"
                )
        return texts


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it stands for one."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address
