"""Bootstrap addresses of a broker: whether one can be reached, told fast and in the system's own words."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.errors import SetupError, TransientError

_CONNECT_S = 3.0


def bootstrap_servers(client_options: Mapping[str, Any]) -> list[str]:
    """The ``host:port`` texts of a client's options, whether given as a list or separated by commas."""
    servers = client_options.get("bootstrap_servers", "")
    listed = servers.split(",") if isinstance(servers, str) else [str(server) for server in servers]
    return [server.strip() for server in listed if server.strip()]


def reach(servers: Sequence[str]) -> None:
    """Return once one of `servers` accepts a connection.

    A client library that is let loose on a closed port tries for seconds, leaves sockets open, and in the end says
    only that it could not bootstrap.

    Raises: TransientError with each server's reason; SetupError when one is not host:port.
    """
    reasons = []
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise SetupError(f"broker address {server!r} is not host:port: correct --kafka or SIGHTLINE_KAFKA_URL")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
        except OSError as exc:
            reasons.append(f"{server}: {exc.strerror or exc}")
        else:
            return
    raise TransientError(f"no broker can be reached ({'; '.join(reasons) or 'no address given'})")
