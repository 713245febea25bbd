"""One embedded service a test class, started on what a killed run left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.embedded.service import EmbeddedService
from deploy.embedded.state_folder import StateFolder

_ROOT = Path(__file__).parents[3]
_START_AND_DIE = """
import os, sys, threading
from pathlib import Path
from {module} import {name}
starter = threading.Thread(target={name}(Path(sys.argv[1])).start)  # from another thread: not tied to this process
starter.start()
starter.join()
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="class")
def kind(request: pytest.FixtureRequest) -> type[EmbeddedService]:
    """The class under test, as the test class names it."""
    service: type[EmbeddedService] = request.cls.kind
    return service


@pytest.fixture(scope="class")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name has a blank, a dollar sign and a letter that is not ASCII."""
    return tmp_path_factory.mktemp("state") / "über $tate"


@pytest.fixture(scope="class")
def orphan(kind: type[EmbeddedService], state_dir: Path) -> psutil.Process:
    """The server that a run left behind when it was killed with -9; it had no PATH to find programs on."""
    run = subprocess.run(
        [sys.executable, "-c", _START_AND_DIE.format(module=kind.__module__, name=kind.__name__), str(state_dir)],
        cwd=_ROOT,
        env={"PATH": "/nonexistent", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    record = StateFolder(state_dir, kind.service).read_record()
    assert record is not None
    process = record.process()
    assert process is not None
    return process


@pytest.fixture(scope="class")
def said() -> list[str]:
    """What the service under test said while it started."""
    return []


@pytest.fixture(scope="class")
def service(
    kind: type[EmbeddedService], state_dir: Path, orphan: psutil.Process, said: list[str]
) -> Iterator[EmbeddedService]:
    """A service in the folder of the dead run."""
    assert orphan.is_running()
    running = kind(state_dir)
    running.start(said.append)
    yield running
    running.stop()
