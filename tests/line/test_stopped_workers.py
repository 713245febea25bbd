"""SIGSTOP for twice the session timeout: whoever wakes late finds its work done by others and changes nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.line.conftest import FAULTS_PREFIX, SESSION_TIMEOUT_S, assign
from tests.line.feed import Feed
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.line.worker_process import WorkerProcess

FPS = 12.0
LONG = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(
    ("role", "name", "n_each"),
    [
        pytest.param("inspect", "inspect-0", 130, id="inspect"),
        pytest.param("root-cause", "root-cause", 130, id="root-cause"),
        pytest.param("inspect", "inspect-0", 1500, id="inspect-long", marks=LONG),
        pytest.param("root-cause", "root-cause", 1500, id="root-cause-long", marks=LONG),
    ],
)
def test_a_worker_that_wakes_after_twice_the_session_timeout_wins_nothing(
    role: str, name: str, n_each: int, faults_line: LineProcess, plate_bundle: Path, tmp_path: Path
) -> None:
    line = faults_line
    stations = [f"sigstop/{name}-{n_each}/cam{index}" for index in range(4)]
    assign(line, plate_bundle, stations)
    ledger = Ledger(line, FAULTS_PREFIX, line.state_dir / "bundles", stations)
    with WorkerProcess(line, role, tmp_path / "standby.jsonl"):
        feeds = [Feed(line.kafka, f"{FAULTS_PREFIX}frames", each).start(range(n_each), FPS) for each in stations]
        ledger.wait_for(n_each)
        stopped = line.pids()[name]
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(2 * SESSION_TIMEOUT_S)
        os.kill(stopped, signal.SIGCONT)
        n_sent = sum(feed.finish() for feed in feeds)
        ledger.check(n_sent, attempts=1.05 if n_each >= 1000 else None)
        assert line.pids()[name] == stopped, "it went on, no restart was needed"
        ledger.attempts(n_sent)
