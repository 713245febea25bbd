"""A server run as a child process: start, wait until it is ready, stop, tell why it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from schemas.errors import SetupError

Progress = Callable[[str], None]
"""Told, in one line each, what takes long."""

_LAUNCHER = Path(__file__).with_name("launch.py")
_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_POLL_S = 0.03


def silent(_: str) -> None:
    """Progress that nobody watches."""


class Child:
    """One running server process of our own; its output goes to `log`."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0

    @classmethod
    def spawn(
        cls, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path, stop_signal: signal.Signals
    ) -> Child:
        """Start `command` (see `launched`) in a session of its own, so that Ctrl-C reaches this process alone.

        Should this process die without stopping it, the server is sent `stop_signal` (on Linux).

        Raises: SetupError when it cannot be executed.
        """
        _rotate(log)
        with log.open("ab") as output:
            try:
                popen = subprocess.Popen(
                    launched(command, stop_signal),
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as exc:
                raise SetupError(f"{command[0]} cannot be started: {exc}; run `sightline doctor`") from exc
        return cls(popen, log)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone already."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether the process was gone within `timeout_s`."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, number: signal.Signals, timeout_s: float) -> None:
        """Ask with signal `number`; after `timeout_s` kill."""
        self.send_signal(number)
        if not self.wait(timeout_s):
            self._popen.kill()
            self._popen.wait()

    def wait_until(self, is_ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Return once `is_ready()`.

        Raises: SetupError with the end of the log when the process dies or `timeout_s` passes first.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_alive:
                code = self._popen.returncode
                raise SetupError(f"{what} ended with code {code} while starting: {self.log_tail()} (log: {self._log})")
            if time.monotonic() > deadline:
                self.stop(signal.SIGTERM, 5)
                raise SetupError(
                    f"{what} was not ready within {timeout_s:.0f} s: {self.log_tail()} (log: {self._log}); "
                    "is the machine overloaded or the disk full?"
                )
            time.sleep(_POLL_S)

    def log_tail(self, n_chars: int = 600) -> str:
        """The end of what the process has written since it was started."""
        try:
            text = self._log.read_bytes()[self._log_start :].decode("utf-8", "replace").strip()
        except OSError as exc:
            return f"(no log: {exc})"
        return text[-n_chars:] or "(it wrote nothing)"

    def last_line(self) -> str:
        """The last line the process wrote."""
        return self.log_tail().splitlines()[-1]


def launched(command: Sequence[str], stop_signal: signal.Signals) -> list[str]:
    """`command` by way of the launcher, which ties its life to this process.

    The kernel counts the death of the thread that started a child as that of its parent. So the tie is made from
    the main thread alone; a server started from another thread can outlive this process, and the next run stops it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    tie = [str(os.getpid()), str(int(stop_signal) if is_main else 0)]
    return [sys.executable, "-I", "-S", str(_LAUNCHER), *tie, *command]


def end_stray(process: psutil.Process, number: signal.Signals, timeout_s: float) -> None:
    """Stop a server that outlived the run which started it."""
    try:
        process.send_signal(number)
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)
    except psutil.AccessDenied as exc:
        raise SetupError(
            f"process {process.pid} still serves from this state folder and belongs to another account: "
            "stop it as that account, or choose another folder with --state"
        ) from exc


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
