"""What the embedded broker and database have in common: a child process, its folder, its ports, its URL."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from deploy.embedded.child import Child, Progress, end_stray, silent
from deploy.embedded.ports import choose_ports
from deploy.embedded.state_folder import StateFolder

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


class EmbeddedService(ABC):
    """One server in ``<state_dir>/<service>``, reachable on the loopback interface only.

    The folder keeps the ports, so that a restart (of the server or of the whole line) serves on the same URL as
    long as nobody else took them. One run at a time may own the folder; a server that outlived the run which
    started it is stopped first. A subclass says what to prepare, what to run and when it is ready.
    """

    service: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, state_dir: Path) -> None:
        self._folder = StateFolder(state_dir, self.service)
        self._child: Child | None = None
        self._ports: dict[str, int] = {}

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients reach the server; valid after `start`."""

    @property
    def pid(self) -> int | None:
        """Process id of the server, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    @property
    def log(self) -> Path:
        """The file that has what the server said."""
        return self._folder.log

    def start(self, progress: Progress = silent) -> str:
        """Start the server and return its URL once it answers; does nothing when it runs already.

        Args: progress: told, in one line each, what takes long (the first download, a new data folder).
        Raises: SetupError when the folder is in use, or the server does not come up; nothing is left running.
        """
        if self.pid is not None:
            return self.url
        self._folder.lock()
        try:
            self._end_stray(progress)
            self._serve(progress)
        except BaseException:
            self._shut_down(signal.SIGKILL)
            raise
        return self.url

    def restart_if_dead(self, progress: Progress = silent) -> bool:
        """Start the server again, on the same port, when it died. Returns: whether it had.

        Raises: SetupError, OSError when it cannot be started now (a full disk); it stays dead, and may be tried again.
        """
        if self._child is None or self._child.is_alive:
            return False
        progress(f"{self.service}: the server died; starting it again. Its last words: {self._child.last_line()}")
        try:
            self._serve(progress)
        except BaseException:
            self._child.stop(signal.SIGKILL, STOP_TIMEOUT_S)
            raise
        return True

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server a signal (SIGKILL, SIGTERM, SIGSTOP, ...): what a fault test does to it."""
        if self._child is not None:
            self._child.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Whether the server was gone within `timeout_s`."""
        return self._child is None or self._child.wait(timeout_s)

    def stop(self) -> None:
        """Stop the server cleanly and give the folder back; safe to call at any time."""
        self._shut_down(self.stop_signal)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self, progress: Progress) -> None:
        """Make what the server needs before its ports are chosen."""

    @abstractmethod
    def _spawn(self, progress: Progress) -> Child:
        """Start the server on `self._ports`."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

    def _complete(self) -> None:
        """Make what can only be made in a running server; nothing by default."""
        return

    def _shut_down(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.stop(number, STOP_TIMEOUT_S)
            self._child = None
        self._folder.unlock()

    def _end_stray(self, progress: Progress) -> None:
        record = self._folder.read_record()
        if record is None:
            return
        self._ports = self._ports or dict(record.ports)
        process = record.process()
        if process is not None:
            progress(f"{self.service}: stopping the server (pid {process.pid}) that an earlier run left behind")
            end_stray(process, self.stop_signal, STOP_TIMEOUT_S)

    def _serve(self, progress: Progress) -> None:
        self._prepare(progress)
        self._ports = choose_ports(self.port_names, self._ports)
        self._child = self._spawn(progress)
        self._folder.write_record(self._child.pid, self._ports)
        self._child.wait_until(self._is_ready, f"the embedded {self.service}", START_TIMEOUT_S)
        self._complete()
