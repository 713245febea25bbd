"""What the embedded broker and the embedded database both promise."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from deploy.embedded.service import EmbeddedService
from deploy.embedded.state_folder import StateFolder
from schemas.errors import SetupError

_ROOT = Path(__file__).parents[3]


class ServiceContract:
    """Tests run top to bottom on one state folder, so that a service starts as few times as possible."""

    kind: ClassVar[type[EmbeddedService]]

    def put(self, url: str, word: str) -> None:
        """Store `word` durably."""
        raise NotImplementedError

    def get(self, url: str) -> list[str]:
        """Every word stored so far."""
        raise NotImplementedError

    def test_it_starts_without_java_maven_or_postgres_on_the_path(self, orphan: psutil.Process) -> None:
        assert orphan.is_running()

    def test_a_server_left_by_a_killed_run_is_stopped_and_its_folder_used_again(
        self, service: EmbeddedService, orphan: psutil.Process, said: list[str]
    ) -> None:
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert any(f"(pid {orphan.pid})" in line for line in said)
        self.put(service.url, "first")

    def test_it_listens_on_the_loopback_interface_only(self, service: EmbeddedService) -> None:
        assert service.pid is not None
        listening = [c for c in psutil.Process(service.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}

    def test_a_second_run_on_the_same_folder_is_refused(self, service: EmbeddedService, state_dir: Path) -> None:
        with pytest.raises(SetupError, match=r"in use by process \d+.*--state"):
            self.kind(state_dir).start()
        second = subprocess.run(
            [sys.executable, "-c", _start_script(self.kind), str(state_dir)],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "SetupError" in second.stderr and "in use by process" in second.stderr
        assert service.pid is not None
        assert self.get(service.url) == ["first"]

    def test_restart_if_dead_leaves_a_living_server_alone(self, service: EmbeddedService) -> None:
        before = service.pid
        assert not service.restart_if_dead()
        assert service.pid == before

    def test_a_killed_server_comes_back_on_the_same_url_with_its_data(self, service: EmbeddedService) -> None:
        url, before = service.url, service.pid
        self.put(url, "second")
        service.send_signal(signal.SIGKILL)
        assert service.wait(10)
        started = time.monotonic()
        assert service.restart_if_dead()
        assert time.monotonic() - started < 45
        assert service.url == url
        assert service.pid != before
        assert self.get(url) == ["first", "second"]

    def test_a_stopped_server_leaves_no_process_and_gives_the_folder_back(
        self, service: EmbeddedService, state_dir: Path
    ) -> None:
        url, pid = service.url, service.pid
        assert pid is not None
        service.stop()
        assert not psutil.pid_exists(pid)
        assert service.pid is None
        lock = StateFolder(state_dir, self.kind.service)
        lock.lock()
        lock.unlock()
        host, _, port = url.rpartition("@")[2].partition("/")[0].rpartition(":")
        with pytest.raises(OSError):
            socket.create_connection((host, int(port)), timeout=1)


def _start_script(kind: type[EmbeddedService]) -> str:
    module, name = kind.__module__, kind.__name__
    return f"import sys, pathlib; from {module} import {name}; {name}(pathlib.Path(sys.argv[1])).start()"
