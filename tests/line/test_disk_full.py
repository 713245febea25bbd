"""The disk of a line runs full under load: it says so, the camera spools, and with space again nothing is missing."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.line.camera_process import acknowledged, start_camera
from tests.line.conftest import assign
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess

STATION = "full/line1/cam0"
FULL_FOR_S = 30.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 GB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_full_disk_is_said_and_costs_no_frame(small_disk: Path, plate_bundle: Path, tmp_path: Path) -> None:
    state = small_disk / "state"
    with LineProcess(state) as line:
        assign(line, plate_bundle, [STATION])
        ledger = Ledger(line, "sightline.", state / "bundles", [STATION])
        camera = start_camera(line, tmp_path / "camera", STATION, 600, "--fps", "10")
        ledger.wait_for(60)
        ballast = small_disk / "ballast"
        fill(ballast)
        said_by_s = time.monotonic() + 60
        while "disk: only 0 MB are free" not in line.said():
            assert time.monotonic() < said_by_s, line.said()
            fill(ballast)
            time.sleep(0.5)
        end_s = time.monotonic() + FULL_FOR_S
        while time.monotonic() < end_s:
            fill(ballast)
            time.sleep(0.5)
        ballast.unlink()
        n_sent = acknowledged(camera, 300)
        assert n_sent == 600
        ledger.check(n_sent)
        print(line.said())


def fill(ballast: Path) -> None:
    """Take every byte that is free."""
    chunk = b"\0" * 2**20
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(chunk)
        except OSError:
            return
