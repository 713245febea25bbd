"""`sightline camera` in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.plate import SimulatedLine
from tests.line.line_process import LineProcess


def start_camera(line: LineProcess, state_dir: Path, station: str, n_frames: int, *more: str) -> subprocess.Popen[str]:
    """A camera, at full speed unless `more` says otherwise; its fixture scratches every part from number 40 on."""
    command = [sys.executable, "-m", "deploy.cli", "camera", "--source", f"/{station}"]
    command += ["--product", SimulatedLine.product, "--simulate", "plate", "--count", str(n_frames)]
    command += ["--scratch-from", "40", "--json", "--kafka", line.kafka, "--state", str(state_dir), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def acknowledged(camera: subprocess.Popen[str], timeout_s: float) -> int:
    """Frames the broker acknowledged to `camera`, from its JSON summary."""
    out, _ = camera.communicate(timeout=timeout_s)
    report: dict[str, Any] = json.loads(out)
    return int(report["n_acknowledged"])
