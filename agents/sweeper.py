"""Housekeeping of the archive, off the event loop: evidence past its retention, months of verdicts to come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from agents.records import ensure_partitions
from agents.retention import RetentionRule, sweep
from agents.session import Session
from schemas.errors import TransientError

_log = logging.getLogger(__name__)


_DAY_S = 86400.0


async def make_months(session: Session) -> None:
    """Make the coming months' partitions of `verdict`, once a day for ever."""
    while True:
        n_new = await session.run(lambda conn: ensure_partitions(conn, datetime.now(UTC)))
        if n_new:
            _log.info("made %d months of verdicts", n_new)
        await asyncio.sleep(_DAY_S)


class Sweeper:
    """Applies retention rules to the store at `root` every `every_s` seconds."""

    def __init__(self, root: str, rules: Sequence[RetentionRule], every_s: float = 600.0) -> None:
        self._root = root
        self._rules = rules
        self._every_s = every_s

    async def run(self) -> None:
        """Sweep for ever; a store that is away is tried again next time."""
        while True:
            await asyncio.sleep(self._every_s)
            for rule in self._rules:
                try:
                    swept = await asyncio.to_thread(sweep, self._root, rule, datetime.now(UTC))
                except TransientError as error:
                    _log.warning("%s", error)
                else:
                    if swept.n_removed:
                        _log.info(
                            "evidence %s: removed %d, kept %d bytes", rule.kind, swept.n_removed, swept.kept_bytes
                        )
