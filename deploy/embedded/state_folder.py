"""The folder of one embedded service: its lock, and the record of the process that serves from it."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, ClassVar

import psutil

from schemas.errors import SetupError


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """Which process serves, since when (`created_s`, Unix seconds), on which ports, started by whom."""

    pid: int
    created_s: float
    ports: dict[str, int]
    owner_pid: int

    def process(self) -> psutil.Process | None:
        """The recorded process, or None when it is gone (a reused pid does not count)."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.created_s) < 1.0
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class StateFolder:
    """Owns ``<state_dir>/<service>``. One run at a time: `lock` refuses a second one."""

    _held: ClassVar[set[Path]] = set()

    def __init__(self, state_dir: Path, service: str) -> None:
        self.service = service
        self.state_dir = state_dir
        self.path = (state_dir / service).absolute()
        self._lock_file: IO[str] | None = None

    @property
    def log(self) -> Path:
        """What the service writes on its standard output and error."""
        return self.path / "server.log"

    @property
    def is_locked_here(self) -> bool:
        return self._lock_file is not None

    def lock(self) -> None:
        """Make the folder and take its lock, which dies with this process.

        The lock is a record lock: unlike `flock` it is not inherited by forked children, so that a worker
        that outlives a killed launcher does not keep the folder. (It also ends when this process closes any handle
        of the lock file, so that the file is not even opened when this process holds the lock already.)

        Raises: SetupError when another run has it, or the folder cannot be written.
        """
        if self._lock_file is not None:
            return
        if self.path.resolve() in self._held:
            raise SetupError(self._refusal())
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock_file = (self.path / "lock").open("a")
        except OSError as exc:
            raise SetupError(f"state folder {self.path} cannot be written: {exc}; choose another with --state") from exc
        try:
            fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock_file.close()
            raise SetupError(self._refusal()) from exc
        self._held.add(self.path.resolve())
        self._lock_file = lock_file

    def unlock(self) -> None:
        if self._lock_file is not None:
            self._held.discard(self.path.resolve())
            self._lock_file.close()
            self._lock_file = None

    def read_record(self) -> ServiceRecord | None:
        """What the last start wrote, or None when there was none or it is unreadable."""
        try:
            document = json.loads(self._record_file.read_text())
            return ServiceRecord(
                pid=int(document["pid"]),
                created_s=float(document["created_s"]),
                ports={str(name): int(port) for name, port in document["ports"].items()},
                owner_pid=int(document["owner_pid"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write_record(self, pid: int, ports: dict[str, int]) -> None:
        """Note, atomically, that process `pid` serves on `ports`."""
        record = ServiceRecord(pid, psutil.Process(pid).create_time(), ports, os.getpid())
        aside = self._record_file.with_suffix(".part")
        aside.write_text(json.dumps(asdict(record)))
        aside.replace(self._record_file)

    @property
    def _record_file(self) -> Path:
        return self.path / "service.json"

    def _refusal(self) -> str:
        record = self.read_record()
        holder = f"process {record.owner_pid}" if record is not None else "another process"
        return (
            f"state folder {self.path} is in use by {holder}: stop that run first, or give this one "
            "another folder with --state"
        )
