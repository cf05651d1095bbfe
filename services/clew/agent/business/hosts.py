"""The hosts that business context may be sent to: CLEW_BAGGAGE_HOSTS.

`private` stands for what belongs to the service's own network: private and loopback addresses,
names of one label, names that no public host can have, this host and the domains that it is in.
Nothing is resolved.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

PRIVATE = "private"
ANY = "*"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Top-level names that the public DNS does not have.
_PRIVATE_SUFFIXES = (".local", ".internal", ".localhost", ".home.arpa")
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
        *("0.0.0.0/32", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
# Before the code of a country they are no domain of anybody's: co.uk.
_REGISTRIES = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
_RESOLVER = Path("/etc/resolv.conf")
_REMEMBERED = 1024


class AllowedHosts:
    """The hosts of a setting: `private`, `*`, names, `*.domain`, addresses and networks, separated
    by commas. `domains`: those that this host is in."""

    def __init__(self, text: str, domains: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._suffixes: tuple[str, ...] = ()
        self._networks: tuple[_Network, ...] = ()
        self._any = self._private = False
        self._decisions: dict[str, bool] = {}
        for item in text.split(","):
            self._add(item.strip().lower().rstrip("."))
        if self._private:
            self._suffixes += _PRIVATE_SUFFIXES
            self._networks += _PRIVATE_NETWORKS
            for domain in domains:
                self._names.add(domain)
                self._suffixes += (f".{domain}",)

    def _add(self, item: str) -> None:
        if item == ANY:
            self._any = True
        elif item == PRIVATE:
            self._private = True
        elif item.startswith("*."):
            self._suffixes += (item[1:],)
        elif item:
            try:
                self._networks += (ipaddress.ip_network(item, strict=False),)
            except ValueError:
                self._names.add(item)

    def allows(self, host: str) -> bool:
        """Whether a host, a name or an address, may be told."""
        decision = self._decisions.get(host)
        if decision is None:
            if len(self._decisions) >= _REMEMBERED:
                self._decisions.clear()
            decision = self._decisions[host] = self._decide(host.lower().strip("[]").rstrip("."))
        return decision

    def _decide(self, host: str) -> bool:
        if self._any:
            return bool(host)
        address = _address(host)
        if address is not None:
            return any(address in network for network in self._networks)
        is_single = self._private and host != "" and "." not in host and ":" not in host
        return is_single or host in self._names or host.endswith(self._suffixes)


def _address(host: str) -> _Address | None:
    """The address that a host is written as, in any of the ways that clients take."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    if host and host[0].isdigit():  # 2130706433, 0x7f.1
        with contextlib.suppress(OSError, ValueError):
            return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def host_of_url(url: str) -> str | None:
    """The host of a URL; None if there is none, or clients may read it in different ways."""
    if "\\" in url:
        return None
    with contextlib.suppress(ValueError):
        return urlsplit(url).hostname
    return None


def own_domains() -> set[str]:
    """The name of this host, the domain that it is in, and those that its resolver searches."""
    host = os.uname().nodename.lower().rstrip(".")
    return {host, *filter(_is_of_somebody, (host.partition(".")[2], *_searched()))} - {""}


def _searched() -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in _RESOLVER.read_text(errors="replace").splitlines():
            word, *domains = line.split() or [""]
            if word in ("search", "domain"):
                yield from (domain.lower().strip(".") for domain in domains)


def _is_of_somebody(domain: str) -> bool:
    """Whether a domain is somebody's own, and not one below which anybody has a name."""
    labels = domain.split(".")
    if len(labels) < 2:
        return False
    return not (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRIES)
