"""The relay: outbox rows to their topics, each published before it is marked, so none is forgotten."""

from __future__ import annotations

import asyncio
import logging

from agents.database import Connection
from agents.outlet import Outgoing, Outlet
from agents.records import Claimed, claim_outbox, mark_outbox, prune_outbox
from agents.session import Session

_log = logging.getLogger(__name__)
_BATCH = 100
_PRUNE_EVERY = 2000


class Relay:
    """Publishes what other agents committed to `sightline.outbox`.

    A row is locked while it is published; a crash between sending and marking sends it again, under the same
    `alert_id` and state, which every consumer drops as a repeat.
    """

    def __init__(self, session: Session, outlet: Outlet, topic_prefix: str, idle_s: float = 0.25) -> None:
        self._session = session
        self._outlet = outlet
        self._prefix = topic_prefix
        self._idle_s = idle_s

    async def run(self) -> None:
        """Relay for ever."""
        rounds = 0
        while True:
            n_sent = await self.relay_once()
            rounds += 1
            if rounds % _PRUNE_EVERY == 0:
                await self._session.run(prune_outbox)
            if n_sent < _BATCH:
                await asyncio.sleep(self._idle_s)

    async def relay_once(self) -> int:
        """Publish up to 100 rows; returns how many."""
        loop = asyncio.get_running_loop()
        return await self._session.run(lambda conn: self._relay_within(conn, loop))

    def _relay_within(self, conn: Connection, loop: asyncio.AbstractEventLoop) -> int:
        """Claim, publish and mark in one transaction, whose row locks keep other relays off meanwhile."""
        claimed = claim_outbox(conn, _BATCH)
        if not claimed:
            return 0
        outgoing = [self._outgoing(row) for row in claimed]
        asyncio.run_coroutine_threadsafe(self._outlet.publish(outgoing), loop).result()
        mark_outbox(conn, [row.outbox_id for row in claimed])
        for row in claimed:
            _log.info("published to %s", row.topic, extra={"station": row.key.decode("utf-8", "replace")})
        return len(claimed)

    def _outgoing(self, row: Claimed) -> Outgoing:
        return Outgoing(f"{self._prefix}{row.topic}", row.key, row.value)
