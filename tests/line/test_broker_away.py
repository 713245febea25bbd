"""The broker stopped or killed under load: the camera spools, the workers wait, and work goes on with no one's help."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from deploy.embedded.kafka import EmbeddedKafka
from tests.databases import fresh_database
from tests.line.camera_process import acknowledged, start_camera
from tests.line.conftest import assign, outside_settings
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess

STATION = "broker/line1/cam0"
PREFIX = "sightline."
SLOW = [pytest.mark.slow, pytest.mark.timeout(1500)]
BOTH = (signal.SIGTERM, signal.SIGKILL)


@pytest.mark.parametrize(
    ("signals", "away_s", "n_frames"),
    [
        pytest.param(BOTH, 3.0, 240, id="short"),
        pytest.param(BOTH * 5, 3.0, 3000, id="five-times-each", marks=SLOW),
        pytest.param((signal.SIGKILL,), 300.0, 6000, id="five-minutes", marks=SLOW),
    ],
)
def test_work_resumes_within_60_s_of_the_broker_and_no_worker_was_restarted(
    signals: tuple[signal.Signals, ...],
    away_s: float,
    n_frames: int,
    postgres_url: str,
    plate_bundle: Path,
    tmp_path: Path,
) -> None:
    settings = outside_settings(partitions="2")
    state = tmp_path / "state"
    with (
        fresh_database(postgres_url) as database,
        EmbeddedKafka(tmp_path / "broker") as broker,
        LineProcess(state, "--kafka", broker.url, "--postgres", database, settings=settings) as line,
    ):
        assign(line, plate_bundle, [STATION])
        ledger = Ledger(line, PREFIX, state / "bundles", [STATION])
        camera = start_camera(line, tmp_path / "camera", STATION, n_frames, "--fps", "15")
        ledger.wait_for(60)
        workers = line.pids()
        for number in signals:
            broker.send_signal(number)
            assert broker.wait(60)
            time.sleep(away_s)
            before = ledger.n_verdicts()
            broker.restart_if_dead()
            back_s = time.monotonic()
            ledger.wait_for(before + 1, timeout_s=60)
            print(f"{number.name}: resumed {time.monotonic() - back_s:.1f} s after the broker answered")
        n_sent = acknowledged(camera, 900)
        assert n_sent == n_frames, "what the camera took while the broker was away came from its spool"
        assert line.pids() == workers
        ledger.check(n_sent)
        ledger.attempts(n_sent)
