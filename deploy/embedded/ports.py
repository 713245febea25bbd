"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from schemas.errors import SetupError

LOOPBACK = "127.0.0.1"
_LOWEST_PORT = 15000
_LINUX_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ASSUMED_EPHEMERAL_START = 32768
_ATTEMPTS = 400


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts_connections(port: int, timeout_s: float = 0.5) -> bool:
    """Whether something listens on `port` of the loopback interface."""
    try:
        with closing(socket.create_connection((LOOPBACK, port), timeout=timeout_s)):
            return True
    except OSError:
        return False


def choose_ports(names: tuple[str, ...], preferred: Mapping[str, int]) -> dict[str, int]:
    """A free port for each of `names`: the preferred one when it is still free, else a new one.

    Ports lie below the range the kernel hands to outgoing connections. Inside that range a client that keeps
    reconnecting to a stopped server sooner or later connects to itself and keeps the server from coming back.

    Raises: SetupError when no port is free.
    """
    chosen: dict[str, int] = {}
    for name in names:
        wanted = preferred.get(name)
        if wanted is not None and wanted not in chosen.values() and is_free(wanted):
            chosen[name] = wanted
        else:
            chosen[name] = _new_port(set(chosen.values()) | set(preferred.values()))
    return chosen


def _new_port(taken: set[int]) -> int:
    end = _ephemeral_start()
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST_PORT, end)
        if port not in taken and is_free(port):
            return port
    raise SetupError(f"no free port on {LOOPBACK} between {_LOWEST_PORT} and {end}: close what listens there")


def _ephemeral_start() -> int:
    try:
        start = int(_LINUX_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = _ASSUMED_EPHEMERAL_START
    return start if start > _LOWEST_PORT + 1000 else _ASSUMED_EPHEMERAL_START
