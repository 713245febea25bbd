"""What inspecting a frame costs beside the two things that must be done: aligning it and running the model.

Plates at 512x512 as JPEG, inspected at 256x256 by a bundle trained here, on one core. `ours` is the whole of
`Inspector.inspect` for one frame, `baseline` the same frame's alignment and engine alone, on pixels that are
decoded and a tensor that is ready; both are medians of milliseconds, taken in turn. `overhead_ms` is the
fastest run of a picture less the fastest of its baseline, since other load only adds, as the median over the
pictures; the aim is 1.5 ms. Then each step by itself: its fastest run, and its median.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.plate_bundle import train_plates
from benchmarks.result import BenchResult, Json, machine
from engines.bundle import Bundle
from engines.engine import Engine, load_backend
from pipeline.decode import Picture, decode
from pipeline.defects import find_defects
from pipeline.inspection import InspectionRequest, Inspector, RecipeRules
from pipeline.overlay import heat_map_png
from pipeline.plate import SimulatedLine
from pipeline.preparation import Preparation, Prepared
from pipeline.score_map import ScoreMapper, scored_pixels
from pipeline.training import TrainSettings

FRAME_SIDE_PX = 512
INPUT_SIDE_PX = 256
N_GOOD = 40
N_PICTURES = 16
AIM_MS = 1.5
_BACKEND = "onnxruntime"


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """One picture at every step of the way."""

    request: InspectionRequest
    picture: Picture
    transform: NDArray[np.float64]
    prepared: Prepared
    tensor: NDArray[np.uint8]


def run(frames: int = 400) -> BenchResult:
    """Measure. Args: frames: how many are timed."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        settings = TrainSettings(input_px=INPUT_SIDE_PX)
        bundle = Bundle.open(train_plates(Path(folder), N_GOOD, FRAME_SIDE_PX, settings))
    preparation, engine = Preparation.of_bundle(bundle), load_backend(bundle, _BACKEND)
    inspector = Inspector(bundle, backend=_BACKEND)
    cases = [_case(preparation, request) for request in _requests()]
    rules = RecipeRules.of_manifest(bundle.manifest)
    whole_ms, bare_ms = np.empty(frames), np.empty(frames)
    for i in range(frames):
        case = cases[i % len(cases)]
        whole_ms[i] = _took_ms(lambda case=case: inspector.inspect([case.request], rules))  # type: ignore[misc]
        bare_ms[i] = _took_ms(lambda case=case: (preparation.align(case.picture), engine.infer(case.tensor)))  # type: ignore[misc]
    figures: dict[str, Json] = {
        "unit": "ms",
        "n_frames": frames,
        "backend": _BACKEND,
        "overhead_ms": float(np.median(_fastest(whole_ms) - _fastest(bare_ms))),
        "overhead_aim_ms": AIM_MS,
        **_steps(bundle, preparation, engine, cases, max(frames // 4, 50)),
        "rss_mb": psutil.Process().memory_info().rss / 2**20,
    }
    inspector.close()
    engine.close()
    ours, baseline = float(np.median(whole_ms)), float(np.median(bare_ms))
    return BenchResult("inspection", ours, baseline, baseline / ours, figures, machine())


def _requests() -> list[InspectionRequest]:
    line = SimulatedLine(size_px=FRAME_SIDE_PX, defect_rate=0.0)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    encoded = [cv2.imencode(".jpg", line.unit(index).picture, quality)[1] for index in range(N_PICTURES)]
    return [InspectionRequest(picture.tobytes(), "image/jpeg") for picture in encoded]


def _case(preparation: Preparation, request: InspectionRequest) -> _Case:
    picture = decode(request.picture, request.content_type, preparation.decode_rules)
    transform = preparation.align(picture).transform
    prepared = preparation.warp(picture, transform)
    return _Case(request, picture, transform, prepared, np.ascontiguousarray(prepared.tensor[None]))


def _steps(
    bundle: Bundle, preparation: Preparation, engine: Engine, cases: list[_Case], n: int
) -> dict[str, Json]:  # fmt: skip
    """Fastest and median milliseconds of each step."""
    grid = engine.infer(cases[0].tensor)[0, 0]
    settings, thresholds = bundle.manifest.score, bundle.manifest.thresholds
    mapper = ScoreMapper.build(settings, bundle.manifest.input_size_px, (grid.shape[0], grid.shape[1]))
    foreground = bundle.foreground()
    score_map = mapper.map(grid, foreground)
    review, size = float(np.quantile(score_map, 0.999)), bundle.manifest.frame_size_px

    def scored(case: _Case) -> NDArray[np.bool_] | None:
        return scored_pixels(case.prepared.valid, foreground, settings.border_px)

    steps: dict[str, Callable[[_Case], object]] = {
        "decode": lambda case: decode(case.request.picture, case.request.content_type, preparation.decode_rules),
        "align": lambda case: preparation.align(case.picture),
        "warp": lambda case: preparation.warp(case.picture, case.transform),
        "engine": lambda case: engine.infer(case.tensor),
        "score_map": lambda case: mapper.map(grid, scored(case), scored_pixels(case.prepared.valid, foreground, 0)),
        "frame_score": lambda case: mapper.frame_score(score_map),
        "defects_when_not_passed": lambda case: find_defects(score_map, review, 1, case.transform, size),
        "heat_map_when_not_passed": lambda case: heat_map_png(case.prepared.grey, score_map, thresholds),
    }
    figures: dict[str, Json] = {}
    for name, step in steps.items():
        times_ms = [_took_ms(lambda step=step, i=i: step(cases[i % len(cases)])) for i in range(n)]  # type: ignore[misc]
        figures[f"{name}_fastest_ms"], figures[f"{name}_median_ms"] = min(times_ms), float(np.median(times_ms))
    return figures


def _fastest(times_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N_PICTURES,) the fastest run of each picture; run i was of picture i modulo N_PICTURES."""
    return np.array([times_ms[i::N_PICTURES].min() for i in range(N_PICTURES)])


def _took_ms(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - start)
