"""A worker started by hand beside those of `up`, as a container or service manager starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from tests.line.line_process import LineProcess

READY_WITHIN_S = 120.0


class WorkerProcess:
    """`sightline worker ROLE` with a line's settings; ready on entry, stopped with SIGTERM on exit."""

    def __init__(self, line: LineProcess, role: str, log: Path) -> None:
        self._line, self._role, self._log = line, role, log

    def __enter__(self) -> WorkerProcess:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "worker", self._role],
                env=self._line.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        impatient = threading.Timer(READY_WITHIN_S, self._process.kill)
        impatient.start()
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        impatient.cancel()
        assert said.strip() == "ready", f"{self._role} is not ready:\n{self.log()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if kind is None:
            assert code == 0, f"{self._role} ended with {code}:\n{self.log()}"

    def log(self) -> str:
        """What it logged, JSON lines."""
        return self._log.read_text()
