"""One agent's connection to Postgres: opened when needed, dropped when it fails, one transaction a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agents.ack import Progress
from agents.database import Connection, connect, database_edge
from agents.evidence import persistently
from schemas.errors import StaleWrite, TransientError

T = TypeVar("T")


class Session:
    """Runs transactions one at a time; not to be shared between agents."""

    def __init__(self, url: str, application: str, progress: Progress) -> None:
        self._url = url
        self._application = application
        self._progress = progress
        self._connection: Connection | None = None

    async def run(self, transaction: Callable[[Connection], T]) -> T:
        """Commit `transaction` in a thread, again and again while the database is away.

        `transaction` may run more than once, also after a commit whose answer was lost: it must be an upsert.
        """
        return await persistently(lambda: self.run_once(transaction), self._progress, "postgres")

    def run_once(self, transaction: Callable[[Connection], T]) -> T:
        """One try, in this thread. Raises: TransientError when the database is away."""
        if self._connection is None:
            self._connection = connect(self._url, application=self._application)
        try:
            with database_edge(), self._connection.transaction():
                return transaction(self._connection)
        except StaleWrite:
            raise
        except TransientError:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
