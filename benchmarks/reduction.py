"""`sightline bench reduction`: what decoding frames at 1/2 and 1/4 of their size costs in accuracy.

Plates at 1024x1024 as JPEG, inspected at 256: figures by reduction on good and faulty ones, how far faulty ones lie
above the review threshold, and how exactly plates are placed. The real screws (512x512, as JPEG) at 128 and 256, mean
of several seeds, which alone move the image AUROC by some hundredths; without the pictures they are left out. `ours`
and `baseline` are the median of a faulty plate's score over the review threshold, as `sightline train` decodes plates
by itself, and in full.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_data import lay_out
from benchmarks.plate_bundle import train_plates
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from engines.bundle import Bundle
from engines.geometry import Transform, apply, compose, invert, motion
from engines.manifest import Reduction
from pipeline.bundling import train_bundle
from pipeline.evaluation import evaluate
from pipeline.good_parts import picture_paths
from pipeline.inspection import Inspection, InspectionRequest, Inspector, RecipeRules
from pipeline.plate import Pose, SimulatedLine
from pipeline.reduction import choose_reduction
from pipeline.train_settings import TrainSettings
from schemas.errors import InputError

FRAME_SIDE_PX, INPUT_SIDE_PX, N_GOOD = 1024, 256, 40
REDUCTIONS: tuple[Reduction, ...] = (1, 2, 4)
SCREWS: tuple[tuple[int, tuple[Reduction, ...]], ...] = ((128, (1, 2)), (256, (1, 2)))
N_SEEDS = 4
_FIGURES = ("image_auroc", "pixel_auroc", "pixel_ap", "au_pro")
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


def run(frames: int = 60) -> BenchResult:
    """Train, judge. Args: frames: good plates, faulty plates, and plates placed, so many each."""
    settings = TrainSettings(input_px=INPUT_SIDE_PX)
    plates: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as made:
        folder = Path(made)
        _write_plates(folder / "plates", frames)
        for reduction in REDUCTIONS:
            say(f"plates, decoded at 1/{reduction}")
            apart = folder / str(reduction)
            apart.mkdir()
            path = train_plates(apart, N_GOOD, FRAME_SIDE_PX, replace(settings, decode_reduction=reduction))
            plates[str(reduction)] = judge_plates(Bundle.open(path), folder / "plates", frames)
            say(str(plates[str(reduction)]))
        sample = picture_paths(folder / "plates" / "test" / "good")[0]
        usual = choose_reduction("auto", sample, INPUT_SIDE_PX, reads_fields=False)
        screws = _screws(folder)
    ours, baseline = plates[str(usual)]["median_margin"], plates["1"]["median_margin"]
    figures: dict[str, Json] = {
        "unit": "faulty plate's score over the review threshold, median",
        "auto": usual,
        "plates": plates,
        "screws": screws,
        "n_plates": frames,
        "n_seeds": N_SEEDS,
    }
    return BenchResult("reduction", ours, baseline, ours / baseline, figures, machine())


def judge_plates(bundle: Bundle, data: Path, n: int) -> dict[str, float]:
    """The figures of `sightline evaluate`, margins above the review threshold, and errors of placing."""
    inspector, rules = Inspector(bundle, backend="onnxruntime"), RecipeRules.of_manifest(bundle.manifest)
    found = evaluate(inspector, data, _quiet).model_dump()
    faulty = [path.read_bytes() for path in picture_paths(data / "test" / "fault")]
    scores = [each.score for each in _inspect(inspector, rules, faulty) if each.score is not None]
    margins = np.array(scores) / bundle.manifest.thresholds.review
    line = SimulatedLine(size_px=FRAME_SIDE_PX, defect_rate=0.0)
    units = [line.unit(3000 + i) for i in range(n)]
    answers = _inspect(inspector, rules, [_jpeg(unit.picture) for unit in units])
    transforms = [each.transform for each in answers if each.transform is not None]
    error_px = placing_error_px(transforms, [unit.pose for unit in units])
    inspector.close()
    more = {"median_margin": float(np.median(margins)), "least_margin": float(margins.min()), "place_rms_px": error_px}
    return {name: round(float(found[name]), 4) for name in _FIGURES} | {k: round(v, 4) for k, v in more.items()}


def placing_error_px(found: Sequence[Transform], poses: Sequence[Pose]) -> float:
    """Root mean square distance over the part, in frame pixels, between where plates are found and where they lie.

    The template's own pose is not known: it is the mean of what all plates say about it.
    """
    frame, size = (FRAME_SIDE_PX, FRAME_SIDE_PX), (INPUT_SIDE_PX, INPUT_SIDE_PX)
    truth = [motion(frame, size, pose.dx_px, pose.dy_px, pose.angle_deg) for pose in poses]
    template = np.mean([compose(invert(true), seen) for true, seen in zip(truth, found, strict=True)], axis=0)
    inner = np.linspace(0.15, 0.85, 8) * INPUT_SIDE_PX
    points = np.stack(np.meshgrid(inner, inner), axis=-1).reshape(-1, 2)
    apart = [
        apply(compose(true, template), points) - apply(seen, points) for true, seen in zip(truth, found, strict=True)
    ]
    return float(np.sqrt(np.square(np.stack(apart)).sum(axis=2).mean()))


def _inspect(inspector: Inspector, rules: RecipeRules, jpegs: Sequence[bytes]) -> list[Inspection]:
    answers = inspector.inspect([InspectionRequest(jpeg, "image/jpeg") for jpeg in jpegs], rules, "none")
    return [each for each in answers if isinstance(each, Inspection)]


def _write_plates(folder: Path, n: int) -> None:
    """Good and faulty plates with masks, in MVTec's layout."""
    for kind, rate in (("good", 0.0), ("fault", 1.0)):
        pictures, masks = folder / "test" / kind, folder / "ground_truth" / kind
        pictures.mkdir(parents=True)
        masks.mkdir(parents=True)
        line = SimulatedLine(size_px=FRAME_SIDE_PX, defect_rate=rate)
        for index in range(2000, 2000 + n):
            unit = line.unit(index)
            (pictures / f"{index}.jpg").write_bytes(_jpeg(unit.picture))
            if kind == "fault":
                cv2.imwrite(str(masks / f"{index}_mask.png"), np.asarray(unit.mask * 255, np.uint8))


def _screws(folder: Path) -> dict[str, Json]:
    """Mean figures of the real screws by input size and reduction; empty without the pictures."""
    try:
        data = _as_jpeg(lay_out("mvtec_screw", folder), folder / "screws")
    except InputError as missing:
        say(f"left out: {missing}")
        return {}
    found: dict[str, Json] = {}
    for input_px, reductions in SCREWS:
        for reduction in reductions:
            say(f"screws at {input_px} px, decoded at 1/{reduction}")
            runs = [_judge_screws(data, folder, input_px, reduction, seed) for seed in range(N_SEEDS)]
            means = {name: round(float(np.mean([each[name] for each in runs])), 4) for name in _FIGURES}
            found[f"{input_px} px, 1/{reduction}"] = means
            say(str(means))
    return found


def _judge_screws(data: Path, folder: Path, input_px: int, reduction: Reduction, seed: int) -> dict[str, float]:
    out = folder / f"screw-{input_px}-{reduction}-{seed}.bundle"
    settings = TrainSettings(input_px=input_px, decode_reduction=reduction, seed=seed)
    train_bundle(
        "screw", picture_paths(data / "train" / "good"), [], backbone="student", weights=None, colour="auto",
        settings=settings, created_at=datetime(2026, 1, 1, tzinfo=UTC), out=out, progress=_quiet,
    )  # fmt: skip
    inspector = Inspector(Bundle.open(out), backend="onnxruntime")
    found = evaluate(inspector, data, _quiet).model_dump()
    inspector.close()
    return {name: float(found[name]) for name in _FIGURES}


def _as_jpeg(data: Path, target: Path) -> Path:
    """`data` again with its pictures as JPEG, its masks as they are."""
    for path in sorted(data.rglob("*.png")):
        place = target / path.relative_to(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        if "ground_truth" in place.parts:
            place.write_bytes(path.read_bytes())
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise InputError(f"{path} is not a picture")
        place.with_suffix(".jpg").write_bytes(_jpeg(np.asarray(picture, np.uint8)))
    return target


def _quiet(what: str, done: int, total: int) -> None:
    """Show no progress: every step has its line."""


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", picture, _JPEG)[1].tobytes()
