"""Workers come and go under load: 1 to 3 and back to 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.line.conftest import FAULTS_PREFIX, assign
from tests.line.feed import Feed
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.line.worker_process import WorkerProcess

FPS = 12.0


@pytest.mark.parametrize("n_each", [150, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_one_worker_then_three_then_one_keep_the_order_of_every_station(
    n_each: int, faults_line: LineProcess, plate_bundle: Path, tmp_path: Path
) -> None:
    line = faults_line
    stations = [f"scale/line{n_each}/cam{index}" for index in range(4)]
    assign(line, plate_bundle, stations)
    ledger = Ledger(line, FAULTS_PREFIX, line.state_dir / "bundles", stations)
    feeds = [Feed(line.kafka, f"{FAULTS_PREFIX}frames", station).start(range(n_each), FPS) for station in stations]
    ledger.wait_for(n_each // 2)
    with (
        WorkerProcess(line, "inspect", tmp_path / "second.jsonl") as second,
        WorkerProcess(line, "inspect", tmp_path / "third.jsonl") as third,
    ):
        ledger.wait_for(ledger.n_verdicts() + n_each // 2)
        assert decided_by(second, stations) | decided_by(third, stations), "the new workers took a share"
    n_sent = sum(feed.finish() for feed in feeds)
    ledger.check(n_sent, attempts=1.05 if n_each >= 1000 else None)
    ledger.attempts(n_sent)


def decided_by(worker: WorkerProcess, stations: Sequence[str]) -> set[str]:
    """Those of `stations` that the worker's log names."""
    return {station for station in stations if f'"{station}"' in worker.log()}
