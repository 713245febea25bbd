"""Free ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.embedded.ports import LOOPBACK, choose_ports


def test_a_preferred_port_is_kept_while_it_is_free() -> None:
    first = choose_ports(("a", "b"), {})
    assert choose_ports(("a", "b"), first) == first


def test_a_preferred_port_that_another_program_took_is_replaced() -> None:
    wanted = choose_ports(("a",), {})
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, wanted["a"]))
        other.listen()
        assert choose_ports(("a",), wanted)["a"] != wanted["a"]


def test_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    ranges = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not ranges.exists():
        pytest.skip("this system does not tell its range of outgoing ports (no /proc)")
    start = int(ranges.read_text().split()[0])
    if start < 17000:
        pytest.skip(f"this system gives out ports from {start} on; none lie below")
    assert max(choose_ports(tuple("abcdefgh"), {}).values()) < start
