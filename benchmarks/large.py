"""`sightline bench large`: marks of 4x4 px on parts of 1024x1024, and what tiles cost on a picture of 2048x2048.

Plates at 1024x1024 are learnt and inspected at full size (`train --input-px 1024`) and, as the baseline, at the usual
256. `ours` and `baseline` are shares of marks that are stopped, 80 grey levels deep, by thresholds from good parts
alone. A mark counts as touched when a reported defect lies on it. Memory is the peak of a process that runs the
backbone, less what it held before (Linux).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.plate_bundle import train_plates
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from engines.bundle import Bundle
from pipeline.inspection import Inspection, InspectionRequest, Inspector, RecipeRules
from pipeline.plate import SimulatedLine, encode_png
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError
from schemas.verdict import Outcome

SIDE_PX, USUAL_PX, MARK_PX, N_GOOD = 1024, 256, 4, 24
DEPTHS_GREY = (0, 40, 80)
_WIDE_PX = 2048
_SLACK_PX = 8
_FORWARD = """
import re, sys, time
import numpy as np, onnx
from engines.backbone import on_grid, quantised
from engines.backbone_student import load_student
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from engines.tiling import add_tiled_backbone
side, tile = int(sys.argv[1]), int(sys.argv[2])
picture = np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8)
backbone = quantised(on_grid(load_student(), 8), [picture[0, :, :256, :256].copy()])
graph = GraphBuilder()
levels = add_tiled_backbone(graph, backbone, "picture", (side, side), tile)
model = graph.build({"picture": (onnx.TensorProto.UINT8, ["n", 3, side, side])},
                    {name: (tensor, ["n", "c" + name, "h" + name, "w" + name]) for name, tensor in levels.items()})
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before, session, taken = peak(), cpu_session(model, cpu_options(1)), []
for _ in range(4):
    start = time.perf_counter(); session.run(None, {"picture": picture}); taken.append(time.perf_counter() - start)
print(peak() - before, 1000 * sorted(taken)[1])
"""


@dataclass(slots=True)
class Found:
    """Of `n` parts with a mark of one depth, how many were stopped, and on how many the mark was touched."""

    n: int = 0
    n_stopped: int = 0
    n_touched: int = 0

    def figures(self) -> dict[str, Json]:
        """As JSON."""
        return {"n": self.n, "stopped": self.n_stopped, "touched": self.n_touched}


def run(frames: int = 40) -> BenchResult:
    """Train, mark, inspect. Args: frames: parts of each depth."""
    found: dict[int, dict[int, Found]] = {}
    for input_px in (SIDE_PX, USUAL_PX):
        with tempfile.TemporaryDirectory(prefix="sightline-bench-") as made:
            say(f"training on {N_GOOD} plates, inspected at {input_px} px")
            bundle = Bundle.open(train_plates(Path(made), N_GOOD, SIDE_PX, TrainSettings(input_px=input_px)))
            found[input_px] = {depth: judge(bundle, depth, frames) for depth in DEPTHS_GREY}
    deepest = DEPTHS_GREY[-1]
    ours, baseline = (found[px][deepest].n_stopped / frames for px in (SIDE_PX, USUAL_PX))
    figures: dict[str, Json] = {
        "unit": f"share of {MARK_PX}x{MARK_PX} px marks, {deepest} grey levels deep, that are stopped",
        "by_input_px_and_depth": {
            str(px): {str(depth): each.figures() for depth, each in depths.items()} for px, depths in found.items()
        },
        "backbone_at_2048": {str(tile): _forward(tile) for tile in (_WIDE_PX, SIDE_PX)},
    }
    return BenchResult("large", ours, baseline, ours / max(baseline, 1 / frames), figures, machine())


def judge(bundle: Bundle, depth: int, n: int) -> Found:
    """Good plates with one dark square each, `depth` grey levels below what is there; 0: none."""
    inspector, found = Inspector(bundle, backend="onnxruntime"), Found()
    rules = RecipeRules.of_manifest(bundle.manifest)
    line, rng = SimulatedLine(size_px=SIDE_PX, defect_rate=0), np.random.default_rng(1)
    for number in range(n):
        picture = line.unit(5000 + number).picture.copy()
        x, y = rng.integers(SIDE_PX // 4, 3 * SIDE_PX // 4, 2).tolist()
        spot = picture[y : y + MARK_PX, x : x + MARK_PX]
        spot[:] = np.clip(spot.astype(np.int16) - depth, 0, 255)
        answer = inspector.inspect([InspectionRequest(encode_png(picture), "image/png")], rules, "none")[0]
        assert isinstance(answer, Inspection)
        found.n += 1
        found.n_stopped += answer.outcome is not Outcome.PASS
        found.n_touched += any(_near(defect.bbox_px, x, y) for defect in answer.defects)
    inspector.close()
    return found


def _near(box: tuple[int, int, int, int], x: int, y: int) -> bool:
    left, top, width, height = box
    return left - _SLACK_PX <= x <= left + width + _SLACK_PX and top - _SLACK_PX <= y <= top + height + _SLACK_PX


def _forward(tile_px: int) -> dict[str, Json]:
    """Peak memory in MiB and milliseconds of the backbone on a picture of 2048x2048, cut at `tile_px`."""
    command = [sys.executable, "-c", _FORWARD, str(_WIDE_PX), str(tile_px)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise InputError(f"the memory measurement failed: {done.stderr.strip()[-300:]}")
    memory, taken = (float(word) for word in done.stdout.split())
    return {"peak_mb": round(memory), "median_ms": round(taken, 1)}
