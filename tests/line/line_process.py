"""A line run as a user runs it: `sightline up --json` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psycopg

READY_WITHIN_S = 120.0


class LineProcess:
    """Starts the line on entry and stops it with SIGTERM on exit, insisting on exit code 0."""

    def __init__(self, state_dir: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self._state_dir = state_dir
        self._arguments = arguments
        self._environment = {**os.environ, **{f"SIGHTLINE_{k.upper()}": v for k, v in (settings or {}).items()}}
        self._said: list[str] = []
        self._killed = False
        self.stopped_in_s = 0.0
        self.kafka = ""
        self.postgres = ""

    def __enter__(self) -> LineProcess:
        command = [sys.executable, "-m", "deploy.cli", "up", "--json", "--state", str(self._state_dir)]
        self._process = subprocess.Popen(
            [*command, *self._arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the line did not start:\n{self.said()}")
        address: dict[str, Any] = json.loads(line)
        self.kafka, self.postgres = address["kafka"], address["postgres"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asked_at_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.stopped_in_s = time.monotonic() - asked_at_s
        self._listener.join(10)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        if kind is None and not self._killed:
            assert code == 0, f"up ended with {code}:\n{self.said()}\n{self.logs()}"

    @property
    def pid(self) -> int:
        """Process id of `up` itself."""
        return self._process.pid

    @property
    def state_dir(self) -> Path:
        """Where the line keeps logs, evidence, bundles and claims."""
        return self._state_dir

    def kill(self) -> None:
        """SIGKILL to `up` alone; its exit code is of no interest then."""
        self._killed = True
        self._process.kill()
        self._process.wait()

    def environment(self) -> dict[str, str]:
        """The environment of another process of this line: a worker or command started by hand."""
        addresses = {
            "SIGHTLINE_KAFKA_URL": self.kafka,
            "SIGHTLINE_POSTGRES_URL": self.postgres,
            "SIGHTLINE_STATE_DIR": str(self._state_dir),
        }
        return {**self._environment, **addresses}

    def said(self) -> str:
        """What `up` said on stderr so far."""
        return "".join(self._said)

    def logs(self) -> str:
        """The end of every worker's log."""
        folder = self._state_dir / "logs"
        return "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("*.jsonl")))

    def pids(self) -> dict[str, int]:
        """Process ids by name, as of now."""
        return dict(json.loads((self._state_dir / "pids.json").read_text()))

    def wait_for_recipes(self, n: int, timeout_s: float = 90.0) -> None:
        """Wait until every inspect worker has `n` recipes in force, as it says in its log."""
        said = f": {n} recipes in force"
        deadline_s = time.monotonic() + timeout_s
        for path in sorted((self._state_dir / "logs").glob("inspect-*.jsonl")):
            while said not in path.read_text():
                assert time.monotonic() < deadline_s, f"{path.name} has not {n} recipes in force:\n{self.logs()}"
                time.sleep(0.2)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a question asked to the line's database."""
        with psycopg.connect(self.postgres) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def wait_for_count(self, sql: str, n: int, timeout_s: float = 60.0) -> int:
        """Wait until `sql` (a count) reaches `n`; the last count seen."""
        deadline_s = time.monotonic() + timeout_s
        count = -1
        while time.monotonic() < deadline_s:
            count = int(self.query(sql)[0][0])
            if count >= n:
                return count
            time.sleep(0.2)
        return count

    def _listen(self, stderr: IO[str]) -> None:
        for line in stderr:
            self._said.append(line)
