"""`sightline bench precisions`: what each `train --precision` costs in accuracy, and how fast backends run it here.

Real screws, aligned, and magnetic tiles are learnt in every precision and judged; without the pictures, plates are
learnt and not judged. Each bundle then runs on every backend of this machine, TensorRT included where there is a GPU:
milliseconds a score grid on one thread, backends in turns, and the gate's figures on pictures that were not learnt
from; differences are shares of the fail threshold. `rounded`: by half precision rounded as a GPU rounds it. `ours` is
the fastest backend's median for `int8-symmetric` on the first set, `baseline` that of `f32` on ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_cases import Case, judge_case, train_case
from benchmarks.accuracy_data import data_root, lay_out
from benchmarks.half_rounding import rounded_to_half
from benchmarks.plate_bundle import train_plates
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from benchmarks.work_folder import work_folder
from engines.backends.choose import Choice, measure_backends
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.bundle import Bundle
from engines.engine import load_backend
from engines.parity import REFERENCE, Judge, compare, measure_parity
from engines.precision import Precision
from pipeline.good_parts import picture_paths, read_picture
from pipeline.plate import write_good_parts
from pipeline.preparation import Preparation
from pipeline.score_map import ScoreMapper
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError

PRECISIONS: tuple[Precision, ...] = ("int8", "int8-symmetric", "f16", "f32")
CASES = (Case("mvtec_screw"), Case("magnetic_tile", motion="none"))
_N_PLATES, _SIDE_PX = 40, 256
_FIGURES = ("image_auroc", "pixel_auroc", "pixel_ap", "au_pro")


def run(frames: int = 80) -> BenchResult:
    """Train, judge, run. Args: frames: pictures a set that backends are compared on."""
    rows: dict[str, Json] = {}
    medians: list[tuple[float, float]] = []
    with work_folder() as folder:
        for case in _sets():
            choices: dict[Precision, Choice] = {}
            for precision in PRECISIONS:
                name = f"{case.data if case else 'plates'}/{precision}"
                say(name)
                bundle, shown, judged = _made(case, precision, folder)
                choices[precision] = measure_backends(bundle)
                rows[name] = judged | _agreement(bundle, shown[:frames], choices[precision])
                say(str(rows[name]))
            symmetric, single = (choices[each].measurements for each in ("int8-symmetric", "f32"))
            fastest = min(each.median_ms for each in symmetric if each.median_ms is not None)
            medians.append((fastest, single[0].median_ms or 0.0))
    ours, baseline = medians[0]
    figures: dict[str, Json] = {"unit": "ms a score grid, one thread, median", "rows": rows}
    return BenchResult("precisions", ours, baseline, baseline / ours, figures, machine())


def _sets() -> tuple[Case | None, ...]:
    """The real pictures; None, which stands for plates, without them."""
    try:
        data_root()
    except InputError as missing:
        say(f"plates alone: {missing}")
        return (None,)
    return CASES


def _made(case: Case | None, precision: Precision, folder: Path) -> tuple[Bundle, list[Path], dict[str, Json]]:
    """A bundle of `case`, pictures that it was not learnt from, and how well it judges them."""
    if case is None:
        apart = folder / f"plates-{precision}"
        apart.mkdir(exist_ok=True)
        path = train_plates(apart, _N_PLATES, _SIDE_PX, TrainSettings(precision=precision))
        shown = write_good_parts(apart / "shown", _N_PLATES, first_unit=2_000_000, size_px=_SIDE_PX)
        return Bundle.open(path), shown, {}
    given = replace(case, precision=precision)
    bundle = train_case(given, folder, lambda step: None)
    found = judge_case(given, bundle, folder)
    tests = [path for kind in sorted((lay_out(case.data, folder) / "test").iterdir()) for path in picture_paths(kind)]
    spread = list(np.random.default_rng(0).permutation(len(tests)))
    figures: dict[str, Json] = {name: round(float(getattr(found, name)), 4) for name in _FIGURES}
    return bundle, [tests[i] for i in spread], figures


def _agreement(bundle: Bundle, shown: Sequence[Path], choice: Choice) -> dict[str, Json]:
    """By backend: milliseconds, and how far the gate finds it from the reference; or why it was left out."""
    inputs = _inputs(bundle, shown)
    engine = load_backend(bundle, REFERENCE)
    rows, columns = engine.infer(inputs[0][None]).shape[2:]
    engine.close()
    mapper = ScoreMapper.build(bundle.manifest.score, bundle.manifest.input_size_px, (rows, columns))
    foreground = bundle.foreground()

    def judge(grid: NDArray[np.float32]) -> float:
        return mapper.frame_score(mapper.map(grid, foreground))

    report = measure_parity(bundle, inputs, judge)
    gate = {entry.backend: entry for entry in report.entries}
    found: dict[str, Json] = {"n_compared": len(inputs)}
    for each in choice.measurements:
        if each.backend not in gate or each.median_ms is None:
            found[each.backend] = each.why_not
            continue
        entry = gate[each.backend]
        found[each.backend] = {
            "median_ms": round(each.median_ms, 2),
            "difference": float(f"{entry.max_difference / bundle.manifest.thresholds.fail:.2g}"),
            "flips": entry.n_flips,
            "holds": entry.holds,
        }
    if bundle.manifest.precision == "f16":
        found["rounded"] = _rounded(bundle, np.stack(inputs), judge)
    return found


def _rounded(bundle: Bundle, inputs: NDArray[np.uint8], judge: Judge) -> dict[str, Json]:
    """How far score grids move when every float16 layer is rounded, as a GPU does."""
    size_px, limits = bundle.manifest.input_size_px, bundle.manifest.thresholds
    plain, rounded = (OnnxRuntimeEngine.load(each, size_px) for each in (bundle.model, rounded_to_half(bundle.model)))
    found = compare(plain.infer(inputs), rounded.infer(inputs), limits, judge, "f16")
    return {"difference": float(f"{found.max_difference / limits.fail:.2g}"), "flips": found.n_flips}


def _inputs(bundle: Bundle, paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Model inputs (3, H, W) of those pictures that can be aligned."""
    preparation = Preparation.of_bundle(bundle)
    prepared = (preparation.prepare(read_picture(path, preparation.decode_rules)[0])[1] for path in paths)
    return [np.ascontiguousarray(each.tensor) for each in prepared if each is not None]
