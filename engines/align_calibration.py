"""Limits of the alignment from good parts alone: residual, sharpness, capture range, foreground."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align import Aligner, AlignmentResult
from engines.align_foreground import encode_trust
from engines.align_levels import edges, smooth
from engines.align_settings import AlignSettings
from engines.align_template import Report, silent
from engines.geometry import apply, middle, warp_to_template
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

_TAIL = 10.0
_BEYOND = 2.5
_LEAST_LIMIT, _MOST_LIMIT = 0.1, 0.5
_FILLED_INSIDE = 0.75
"""Of a part that fills the picture, some leaves it at every move."""
_SAME_LIKENESS = 0.995
"""A part that agrees with itself so well after a turn has no detail to tell the poses apart by."""
_LEAST_TRUST, _MOST_TRUST = 8, 64


def calibrate_alignment(
    template: NDArray[np.uint8],
    good_pictures: Sequence[NDArray[np.uint8]],
    settings: AlignSettings | None = None,
    *,
    narrow: bool = True,
    report: Report = silent,
) -> AlignSettings:
    """Settings whose limits good parts keep, with at most one false refusal in a thousand expected.

    The residual's limit is the median plus ten spreads of the upper tail (a normal one through the median and
    the 90th percentile), and never under 2.5 times the 99th percentile. With `narrow`, the capture range
    shrinks to three times what good parts show (at least 10 degrees and a sixteenth of the picture), so that an
    upside-down part is refused; a product seen at angles beyond 45 degrees keeps the whole circle. A part that
    looks the same after some turn is declared so.

    Args: template: (H, W) uint8. good_pictures: (h, w) uint8 each, of one size.
    Raises: SetupError when there is no picture or fewer than half of them align at all.
    """
    if not good_pictures:
        raise SetupError("no good pictures to calibrate the alignment with")
    asked = settings or AlignSettings()
    height, width = good_pictures[0].shape[:2]
    aspect = (height / template.shape[0]) / (width / template.shape[1])
    free = asked.model_copy(update={"residual_limit": 1.0, "sharpness_limit": 0.0, "pixel_aspect": aspect})
    aligner = Aligner.build(template, free)
    total = 2 * len(good_pictures)
    results = []
    for done, picture in enumerate(good_pictures):
        report(done, total)
        results.append(aligner.align(picture))
    trust = _trust(aligner, template, good_pictures, results)
    free = free.model_copy(update={"mask_png": encode_trust(trust)})
    aligner, results = Aligner.build(template, free), []
    for done, picture in enumerate(good_pictures):
        report(len(good_pictures) + done, total)
        results.append(aligner.align(picture))
    report(total, total)
    kept = [r for r in results if r.status is not AlignmentStatus.MISALIGNED]
    if 2 * len(kept) < len(results):
        first = next(r.detail for r in results if r.status is AlignmentStatus.MISALIGNED)
        raise SetupError(f"only {len(kept)} of {len(results)} good pictures align with the template, e.g.: {first}")
    update: dict[str, object] = {
        "residual_limit": residual_limit(np.array([r.residual for r in kept])),
        "sharpness_limit": sharpness_limit(np.array([r.sharpness for r in kept])),
        "pixel_aspect": aspect,
        "mask_png": free.mask_png,
    }
    if aligner.mask.all():
        update["min_inside"] = min(asked.min_inside, _FILLED_INSIDE)
    if aligner.finder is not None and (aligner.finder.likeness >= _SAME_LIKENESS).any():
        update["symmetry"] = "equivalent"
    if narrow and asked.motion != "none":
        update |= _capture_range(aligner, kept, asked, (width, height))
    return AlignSettings.model_validate(asked.model_dump() | update)


def _trust(
    aligner: Aligner,
    template: NDArray[np.uint8],
    pictures: Sequence[NDArray[np.uint8]],
    results: Sequence[AlignmentResult],
) -> NDArray[np.float32]:
    """(H, W) in 0 to 1: 1 on the part where good parts look alike, less where each looks different.

    A shadow that stays behind when the part turns, or a thread that rolls, must not pull the pose. With fewer than
    eight aligned pictures the part is trusted everywhere.
    """
    mask, outlined = aligner.mask, aligner.settings.image == "edges"
    known = edges(smooth(template)) if outlined else template.astype(np.float32)
    differences = []
    for picture, result in zip(pictures[:_MOST_TRUST], results, strict=False):
        if result.status is AlignmentStatus.MISALIGNED or result.inside < 1.0:
            continue
        warped = warp_to_template(picture, result.transform, aligner.template_size)
        seen = edges(smooth(warped)) if outlined else warped.astype(np.float32)
        gain, bias = np.polyfit(seen[mask], known[mask], 1)
        differences.append(np.abs(np.float32(gain) * seen + np.float32(bias) - known))
    if len(differences) < _LEAST_TRUST:
        return mask.astype(np.float32)
    spread = cv2.GaussianBlur(1.4826 * np.median(np.stack(differences), axis=0).astype(np.float32), (0, 0), 1.0)
    usual = max(3.0 * float(np.median(spread[mask])), 10.0)
    trust = 1.0 / (1.0 + (spread / usual) ** 2)
    return np.asarray(np.where(mask, np.clip(trust / np.quantile(trust[mask], 0.9), 0.15, 1.0), 0.0), np.float32)


def residual_limit(residuals: NDArray[np.float64]) -> float:
    """The limit for `residuals` (n,) of good parts; between 0.1 and 0.5.

    Wide on purpose: a part with a large defect must still be aligned, and then fail. What the limit refuses is another
    product, which lies beyond 0.5.
    """
    half, ninth = (float(q) for q in np.quantile(residuals, (0.5, 0.9)))
    spread = max((ninth - half) / 1.2816, 0.05 * half)
    largest = float(np.quantile(residuals, 0.99))
    return float(np.clip(max(half + _TAIL * spread, _BEYOND * largest), _LEAST_LIMIT, _MOST_LIMIT))


def sharpness_limit(sharpness: NDArray[np.float64]) -> float:
    """The limit for the `sharpness` (n,) of good parts: three quarters of the least, outliers apart."""
    return float(np.clip(0.75 * np.quantile(sharpness, 0.01), 0.0, 0.9))


def _capture_range(
    aligner: Aligner, results: Sequence[AlignmentResult], asked: AlignSettings, frame_size: tuple[int, int]
) -> dict[str, object]:
    """Capture range that holds every good part three times over, within what was asked."""
    cells = np.array(aligner.template_size) / np.array(frame_size)
    centre = middle(aligner.template_size)
    shifts = [float(np.abs((apply(r.transform, centre) - middle(frame_size)) * cells).max()) for r in results]
    angles = [abs(r.angle_deg) for r in results]
    widest = float(np.max(angles))
    longest = max(aligner.template_size)
    update: dict[str, object] = {}
    if widest <= 45.0:
        update["max_angle_deg"] = min(asked.max_angle_deg, max(3.0 * widest, 10.0))
        update["max_shift_px"] = min(asked.max_shift_px, max(3.0 * float(np.max(shifts)), longest / 16))
    return update
