"""Which hosts business context may be sent to."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.agent.business import hosts
from clew.agent.business.hosts import AllowedHosts, host_of_url, own_domains


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "payments", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "10.0.0.7", "[::1]"),
        *("172.31.0.1", "192.168.1.1", "169.254.1.1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1"),
        *("orders.shop.example", "shop.example", "db.internal", "printer.local", "2130706433"),
    ],
)
def test_hosts_of_the_own_network_are_allowed_by_default(host: str) -> None:
    assert AllowedHosts("private", ["shop.example"]).allows(host)


@pytest.mark.parametrize(
    "host",
    [
        *("api.stripe.com", "8.8.8.8", "172.32.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"),
        *("notshop.example", "shop.example.evil.com", "134744072", "0x8.8.8.8", "", "100.64.0.1"),
        *("localhost.evil.com", "10.0.0.1.evil.com", "internal.com"),
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    assert not AllowedHosts("private", ["shop.example"]).allows(host)


def test_a_setting_names_hosts_domains_addresses_and_networks() -> None:
    allowed = AllowedHosts("api.partner.example, *.own.example, 203.0.113.0/24,192.0.2.7")
    for host in ("api.partner.example", "a.b.own.example", "203.0.113.9", "192.0.2.7"):
        assert allowed.allows(host)
    for host in ("partner.example", "own.example", "192.0.2.8", "localhost", "127.0.0.1"):
        assert not allowed.allows(host)
    assert AllowedHosts("*").allows("api.stripe.com")
    assert not AllowedHosts("").allows("localhost")
    assert AllowedHosts("private,api.stripe.com").allows("localhost")


def test_own_domains_are_those_of_the_host_and_of_its_resolver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 10.0.0.1\nsearch shop.svc.cluster.local com co.uk\n\n")
    monkeypatch.setattr(hosts, "_RESOLVER", resolver)
    for node, domains in (
        ("web-1.Shop.example", {"web-1.shop.example", "shop.example"}),
        ("web-1", {"web-1"}),
        ("shop.co.uk", {"shop.co.uk"}),
        ("shop.example", {"shop.example"}),
    ):
        system = type("System", (), {"nodename": node})
        monkeypatch.setattr("os.uname", lambda system=system: system)
        assert own_domains() == domains | {"shop.svc.cluster.local"}
    monkeypatch.setattr(hosts, "_RESOLVER", tmp_path / "none")
    assert own_domains() == {"shop.example"}


def test_the_host_of_a_url_is_unknown_if_clients_may_differ() -> None:
    assert host_of_url("https://user:word@Shop.example:8443/a?b") == "shop.example"
    assert host_of_url("http://[::1]:80/") == "::1"
    for url in ("http://evil.com\\@localhost/", "/relative", "http://[::1", ""):
        assert host_of_url(url) is None


def test_decisions_are_remembered_within_bounds() -> None:
    allowed = AllowedHosts("private")
    for number in range(3000):
        assert not allowed.allows(f"{number}.example.com")
    assert len(allowed._decisions) <= 1024
