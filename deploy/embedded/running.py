"""Find the services that another run serves from a state folder, for commands that are given no URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.kafka import SERVICE as KAFKA
from deploy.embedded.ports import LOOPBACK
from deploy.embedded.postgres import SERVICE as POSTGRES
from deploy.embedded.postgres_cluster import PostgresCluster
from deploy.embedded.state_folder import ServiceRecord, StateFolder


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that serves from a state folder now."""

    url: str
    pid: int


def running_kafka(state_dir: Path) -> RunningService | None:
    """The embedded broker that a run serves from `state_dir`, or None."""
    record = _alive(state_dir, KAFKA)
    return None if record is None else RunningService(f"{LOOPBACK}:{record.ports['broker']}", record.pid)


def running_postgres(state_dir: Path) -> RunningService | None:
    """The embedded database that a run serves from `state_dir`, or None.

    Raises: PermissionError when the password file belongs to another account.
    """
    record = _alive(state_dir, POSTGRES)
    if record is None:
        return None
    cluster = PostgresCluster(StateFolder(state_dir, POSTGRES).path, None)
    return RunningService(cluster.url(record.ports[POSTGRES]), record.pid)


def _alive(state_dir: Path, service: str) -> ServiceRecord | None:
    record = StateFolder(state_dir, service).read_record()
    return record if record is not None and record.process() is not None else None
