"""The end of `up`: asked for under load it is clean and quick, and a killed `up` leaves nobody behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.line.camera_process import acknowledged, start_camera
from tests.line.conftest import assign
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.line.processes import family, started_for, survivors

STATION = "test/line1/cam0"
PREFIX = "sightline."


@pytest.mark.parametrize(
    ("n_frames", "fps"), [(300, 30), pytest.param(3000, 60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_up_stopped_under_load_leaves_nothing_and_the_next_one_finishes_the_work(
    n_frames: int, fps: int, plate_bundle: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with LineProcess(state, "--workers", "2") as line:
        assign(line, plate_bundle, [STATION])
        camera = start_camera(line, tmp_path / "camera", STATION, n_frames, "--fps", str(fps))
        Ledger(line, PREFIX, state / "bundles", [STATION]).wait_for(n_frames // 6)
        members = family(line.pid)
        assert any("multiprocessing" in " ".join(process.cmdline()) for process in members), "engine processes"
    assert line.stopped_in_s < 30
    assert survivors([*members, *started_for(state)], 1) == []
    with LineProcess(state, "--workers", "2") as again:
        assert acknowledged(camera, 240) == n_frames
        ledger = Ledger(again, PREFIX, state / "bundles", [STATION])
        ledger.check(n_frames)
        ledger.attempts(n_frames)
        members = family(again.pid)
        again.kill()
        assert survivors(members, 15) == []
    assert survivors(started_for(state), 5) == []
