"""Parity: does a backend give the scores that the reference gives?

The reference is ONNX Runtime on the CPU, which computes half precision in float32. Two figures decide: the
greatest difference of any grid cell on any picture, against a share of the fail threshold, and the number of pictures
whose outcome flips. `activate` insists on a report in which every backend holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from engines.engine import BACKENDS, Engine, load_backend
from engines.manifest import ParityEntry, ParityReport
from schemas.errors import EngineFault, SetupError
from schemas.verdict import Thresholds

REFERENCE = "onnxruntime"
TOLERANCE_SHARE = 1e-3
"""A backend may differ by this share of the fail threshold."""
HALF_TOLERANCE_SHARE = 5e-3
"""The same where a backbone is float16: a GPU rounds every layer to it, a CPU none (docs/bundles.md)."""

Judge = Callable[[NDArray[np.float32]], float]
"""(h, w) score grid -> frame score."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How one backend differs from the reference on a batch."""

    max_difference: float
    n_flips: int
    holds: bool


def tolerance_of(thresholds: Thresholds, reference: NDArray[np.float32], precision: str = "f32") -> float:
    """Greatest allowed difference of a cell: a share of the fail threshold, or of the scores when that is 0."""
    scale = abs(thresholds.fail) or float(np.abs(reference).max(initial=0.0)) or 1.0
    return (HALF_TOLERANCE_SHARE if precision == "f16" else TOLERANCE_SHARE) * scale


def compare(
    reference: NDArray[np.float32],
    grids: NDArray[np.float32],
    thresholds: Thresholds,
    judge: Judge,
    precision: str = "f32",
) -> Difference:
    """Compare two (N, 1, h, w) score grids of the same pictures; `judge` turns a grid into a frame score.

    Args: precision: the manifest's; `tolerance_of` goes by it.
    """
    if reference.shape != grids.shape:
        return Difference(float("inf"), len(reference), False)
    difference = float(np.abs(reference.astype(np.float64) - grids).max(initial=0.0))
    flips = sum(
        _zone(judge(ours[0]), thresholds) != _zone(judge(theirs[0]), thresholds)
        for ours, theirs in zip(grids, reference, strict=True)
    )
    return Difference(difference, flips, difference <= tolerance_of(thresholds, reference, precision) and flips == 0)


def measure_parity(
    bundle: Bundle, frames: Sequence[NDArray[np.uint8]], judge: Judge, backends: Iterable[str] = BACKENDS
) -> ParityReport:
    """Every backend that is there against the reference.

    Args: frames: model inputs (3, H, W) uint8 RGB, at least one. judge: grid -> frame score, the line's own.
    Raises: SetupError when the reference itself cannot run; ValueError without frames.
    """
    if not frames:
        raise ValueError("parity needs at least one picture")
    engine = load_backend(bundle, REFERENCE, 1)
    reference = _scores(engine, frames)
    thresholds = bundle.manifest.thresholds
    entries = [ParityEntry(backend=REFERENCE, precision=engine.precision, version=engine.version,
                           max_difference=0.0, n_flips=0, holds=True, detail="reference")]  # fmt: skip
    engine.close()
    rivals = (_entry(bundle, backend, frames, reference, judge) for backend in backends if backend != REFERENCE)
    entries += [entry for entry in rivals if entry is not None]
    return ParityReport(
        reference=REFERENCE,
        n_pictures=len(frames),
        tolerance=tolerance_of(thresholds, reference, bundle.manifest.precision),
        entries=tuple(entries),
    )


def probe_frames(template: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Model inputs made from the template alone: as it is, darker, noisy, and with a dark and a bright patch.

    Args: template (H, W) grey or (H, W, 3) RGB uint8. Returns: five (3, H, W) uint8, always the same.
    """
    rgb = template if template.ndim == 3 else np.repeat(template[:, :, None], 3, axis=2)
    height, width = rgb.shape[:2]
    noise = np.random.default_rng(20).integers(-12, 13, rgb.shape, np.int16)
    y, x, side = height // 3, width // 3, max(4, min(height, width) // 8)
    dark, bright = rgb.copy(), rgb.copy()
    dark[y : y + side, x : x + side] = 16
    cv2.line(bright, (x, y), (2 * x, 2 * y), (240, 240, 240), max(1, side // 8))
    variants = (rgb, rgb // 2, np.clip(rgb + noise, 0, 255).astype(np.uint8), dark, bright)
    return [np.ascontiguousarray(variant.transpose(2, 0, 1)) for variant in variants]


def _entry(
    bundle: Bundle, backend: str, frames: Sequence[NDArray[np.uint8]], reference: NDArray[np.float32], judge: Judge
) -> ParityEntry | None:
    """The comparison of one backend, None when it is not on this machine."""
    try:
        engine = load_backend(bundle, backend, 1)
    except SetupError:
        return None
    try:
        manifest = bundle.manifest
        difference = compare(reference, _scores(engine, frames), manifest.thresholds, judge, manifest.precision)
        detail = ""
    except EngineFault as fault:
        difference, detail = Difference(float("inf"), len(frames), False), str(fault)
    finally:
        engine.close()
    return ParityEntry(backend=backend, precision=engine.precision, version=engine.version, detail=detail,
                       max_difference=min(difference.max_difference, 1e30), n_flips=difference.n_flips,
                       holds=difference.holds)  # fmt: skip


def _scores(engine: Engine, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.concatenate([engine.infer(frame[None]) for frame in frames])


def _zone(score: float, thresholds: Thresholds) -> int:
    return int(score >= thresholds.review) + int(score >= thresholds.fail)
