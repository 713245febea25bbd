"""kafka-python's socket, closed when a connection attempt fails.

kafka-python 3.0 leaves the socket of every failed attempt to the garbage collector. A camera whose broker is away
tries once a second for as long as it takes, so that is mended here, at the library's own seam: a proxy scheme.
"""

from __future__ import annotations

import socket
from typing import Any

from kafka.net import KafkaNetSocket

DIRECT = "direct://"
"""The `proxy_url` that means: no proxy, and close what fails."""


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python ships no types
    """Connects directly, and leaves no socket behind."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None) -> Any:
        """Connect `sock`; close it when that fails or is cancelled."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
