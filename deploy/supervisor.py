"""Keeps a set of processes running: restarts what dies with backoff, stops all of them in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from schemas.errors import SetupError

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_STEADY_S = 30.0
READY_LINE = "ready"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep alive; it prints ``ready`` on stdout once it works, and logs on stderr."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: subprocess.Popen[str] | None = None
    log: IO[str] | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    started_at_s: float = 0.0
    backoff_s: float = _FIRST_BACKOFF_S
    restart_at_s: float | None = None
    n_restarts: int = 0


class Supervisor:
    """Starts processes, restarts the dead, and stops everything.

    Args:
        log_dir: each process appends its stderr to ``<log_dir>/<name>.jsonl``.
        say: told, in one sentence, whenever a process dies or is restarted.
    """

    def __init__(self, log_dir: Path, say: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._say = say
        self._running: list[_Running] = []

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start all processes without waiting."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for spec in specs:
            running = _Running(spec)
            self._running.append(running)
            self._launch(running)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until every process said it is ready, restarting what crashes meanwhile.

        Raises: SetupError when one refuses its set-up or none of its restarts gets ready in time.
        """
        deadline_s = time.monotonic() + timeout_s
        for running in self._running:
            while not running.ready.wait(0.05):
                self.tend()
                if time.monotonic() > deadline_s:
                    raise SetupError(
                        f"{running.spec.name} was not ready within {timeout_s:g} s; its log ends:\n"
                        f"{self.log_tail(running.spec.name)}"
                    )

    def tend(self) -> None:
        """Restart what died. Raises: SetupError when a process exits with code 2 (its set-up is wrong)."""
        now_s = time.monotonic()
        for running in self._running:
            process = running.process
            if process is not None and process.poll() is not None:
                self._bury(running, process.returncode, now_s)
            if running.restart_at_s is not None and now_s >= running.restart_at_s:
                running.n_restarts += 1
                self._launch(running)

    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs now."""
        return {
            running.spec.name: running.process.pid
            for running in self._running
            if running.process is not None and running.process.poll() is None
        }

    def n_restarts(self) -> int:
        """How often anything was restarted."""
        return sum(running.n_restarts for running in self._running)

    def stop(self, timeout_s: float = 20.0) -> None:
        """SIGTERM to all, SIGKILL to what is left after `timeout_s`."""
        alive = [r.process for r in self._running if r.process is not None and r.process.poll() is None]
        for running in self._running:
            running.restart_at_s = None
        for process in alive:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + timeout_s
        for process in alive:
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                self._say(f"process {process.pid} did not stop within {timeout_s:g} s and was killed")
                process.kill()
                process.wait()
        for running in self._running:
            running.process = None
            if running.log is not None:
                running.log.close()

    def log_tail(self, name: str, n_lines: int = 5) -> str:
        """The last lines a process logged."""
        path = self._log_dir / f"{name}.jsonl"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-n_lines:])

    def _launch(self, running: _Running) -> None:
        running.restart_at_s = None
        running.ready.clear()
        running.started_at_s = time.monotonic()
        if running.log is not None:
            running.log.close()
        running.log = (self._log_dir / f"{running.spec.name}.jsonl").open("a")
        running.process = subprocess.Popen(
            list(running.spec.command),
            env={**os.environ, **running.spec.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=running.log,
            text=True,
            start_new_session=True,
        )
        assert running.process.stdout is not None
        threading.Thread(target=_watch_stdout, args=(running.process.stdout, running.ready), daemon=True).start()

    def _bury(self, running: _Running, exit_code: int, now_s: float) -> None:
        running.process = None
        name = running.spec.name
        if exit_code == 2:
            raise SetupError(f"{name} refuses its set-up:\n{self.log_tail(name, 3)}")
        if now_s - running.started_at_s > _STEADY_S:
            running.backoff_s = _FIRST_BACKOFF_S
        running.restart_at_s = now_s + running.backoff_s
        self._say(f"{name} ended with {_describe(exit_code)}; restarting in {running.backoff_s:g} s")
        running.backoff_s = min(running.backoff_s * 2, _LONGEST_BACKOFF_S)


def worker_command(role: str) -> list[str]:
    """The command line of a worker process of this installation."""
    return [sys.executable, "-m", "deploy.cli", "worker", role]


def _watch_stdout(stdout: IO[str], ready: threading.Event) -> None:
    for line in stdout:
        if line.strip() == READY_LINE:
            ready.set()


def _describe(exit_code: int) -> str:
    return f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
