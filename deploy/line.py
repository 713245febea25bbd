"""A running line: services (embedded or outside), topics, migrations, and the worker processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from agents.topic_admin import ensure_topics
from deploy.disk_watch import DiskWatch
from deploy.embedded.kafka import EmbeddedKafka
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.service import EmbeddedService
from deploy.settings import Settings
from deploy.supervisor import ProcessSpec, Supervisor, worker_command
from schemas.errors import SetupError
from schemas.topics import Topics

_READY_TIMEOUT_S = 90.0
_TEND_EVERY_S = 0.2
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 15.0


@dataclass(frozen=True, slots=True)
class LineAddress:
    """Where a line can be reached, and its processes by name."""

    kafka: str
    postgres: str
    pids: dict[str, int]

    def to_json(self) -> str:
        """One line: ``{"kafka": ..., "postgres": ..., "pids": {...}}``."""
        return json.dumps({"kafka": self.kafka, "postgres": self.postgres, "pids": self.pids})


class Line:
    """Starts everything a line needs in order, keeps it running, stops it cleanly in the reverse order.

    Args:
        settings: `kafka_url` or `postgres_url` empty means: run that service embedded, in `state_dir`.
        say: told in one sentence what is being done and what went wrong.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._state_dir = settings.state_dir
        self._kafka = None if settings.kafka_url else EmbeddedKafka(self._state_dir)
        self._postgres = None if settings.postgres_url else EmbeddedPostgres(self._state_dir)
        self._supervisor = Supervisor(self._state_dir / "logs", say)
        self._pids: dict[str, int] = {}
        self._disk = DiskWatch(self._state_dir, say)
        self._rests_s: dict[str, float] = {}
        self._rested_at_s: dict[str, float] = {}
        self.settings = settings

    def start(self, before_workers: Callable[[Settings], None] | None = None) -> LineAddress:
        """Services, migrations, topics, workers; returns when all workers consume.

        Args: before_workers: called once the services answer, with the settings in force.

        Raises: SetupError naming what is wrong; what was started is stopped again.
        """
        try:
            self._start_services()
            if before_workers is not None:
                before_workers(self.settings)
            self._start_workers()
        except BaseException:
            self.stop()
            raise
        return self.address()

    def address(self) -> LineAddress:
        """URLs and the process ids of this moment."""
        pids = {name: pid for name, pid in (("kafka", self._kafka), ("postgres", self._postgres)) if pid is not None}
        services = {name: service.pid for name, service in pids.items() if service.pid is not None}
        return LineAddress(self.settings.kafka_url, self.settings.postgres_url, {**services, **self._supervisor.pids()})

    def tend(self) -> None:
        """Restart what died, workers and embedded services alike; call it a few times a second."""
        for service in (self._kafka, self._postgres):
            if service is not None:
                self._revive(service)
        self._supervisor.tend()
        self._write_pids()
        self._disk.look()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Tend the line until `stopping` says so."""
        while not stopping():
            self.tend()
            time.sleep(_TEND_EVERY_S)

    def stop(self) -> None:
        """Workers first, then the database, then the broker."""
        self._supervisor.stop()
        if self._postgres is not None:
            self._postgres.stop()
        if self._kafka is not None:
            self._kafka.stop()

    def _revive(self, service: EmbeddedService) -> None:
        """Restart `service` if it died; where that fails, for a full disk say, try again after a rest."""
        name = service.service
        if time.monotonic() < self._rested_at_s.get(name, 0.0):
            return
        try:
            if service.restart_if_dead(self._say):
                self._rests_s.pop(name, None)
        except (SetupError, OSError) as error:
            rest_s = min(2 * self._rests_s.get(name, _FIRST_REST_S / 2), _LONGEST_REST_S)
            self._rests_s[name], self._rested_at_s[name] = rest_s, time.monotonic() + rest_s
            self._say(f"{name}: cannot be started: {' '.join(str(error).split())}; trying again in {rest_s:g} s")

    def _start_services(self) -> None:
        from deploy.migrate import upgrade

        settings = self._settings
        if self._postgres is not None:
            self._say("starting the embedded Postgres")
            settings = settings.model_copy(update={"postgres_url": self._postgres.start(self._say)})
        if self._kafka is not None:
            self._say("starting the embedded Kafka")
            url = self._kafka.start(self._say)
            settings = settings.model_copy(update={"kafka_url": url, "replication_factor": 1, "min_insync_replicas": 1})
        self.settings = settings
        upgrade(settings.postgres_url)
        ensure_topics(settings, Topics(settings.topic_prefix).specs(settings.partitions))

    def _start_workers(self) -> None:
        environment = self.settings.to_environment()
        names = [("inspect", f"inspect-{index}") for index in range(self.settings.workers)]
        names += [("root-cause", "root-cause"), ("archive", "archive")]
        self._say(f"starting {len(names)} workers")
        self._supervisor.start(
            [
                ProcessSpec(name, [*worker_command(role), "--parent", str(os.getpid())], environment)
                for role, name in names
            ]
        )
        self._supervisor.wait_ready(_READY_TIMEOUT_S)
        self._write_pids()

    def _write_pids(self) -> None:
        """Keep ``<state_dir>/pids.json`` true, for people and programs that look for a process."""
        pids = self.address().pids
        if pids != self._pids:
            aside = self._state_dir / "pids.json.part"
            try:
                aside.write_text(json.dumps(pids))
                aside.replace(self._state_dir / "pids.json")
            except OSError:
                return  # the disk is full, which is said elsewhere; tried again with the next look
            self._pids = pids
