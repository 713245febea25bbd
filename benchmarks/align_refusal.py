"""Who is refused: good parts that were not calibrated on, other products, and pictures that show no part as trained."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.result import Json
from engines.align import Aligner, AlignSettings
from engines.align_calibration import calibrate_alignment
from engines.align_template import choose_template
from engines.geometry import working_size
from schemas.verdict import AlignmentStatus

Grey = NDArray[np.uint8]

_LONGEST_PX = 256


def refusals(folder: Path, n_plates: int) -> dict[str, Json]:
    """By product: good parts refused, of how many; and of each kind of bad picture the share refused.

    Half of the good pictures calibrate, the other half is tried. Of the demo's plate 60 calibrate and `n_plates`
    are tried.
    """
    good = good_pictures(folder, n_plates)
    out: dict[str, Json] = {}
    for name, (known, unseen) in good.items():
        size = working_size((known[0].shape[1], known[0].shape[0]), _LONGEST_PX)
        template = choose_template(known, size, AlignSettings()).grey
        settings = calibrate_alignment(template, known)
        aligner = Aligner.build(template, settings)
        others = {other: pictures[1][:20] for other, pictures in good.items() if other != name}
        n_refused = sum(_refused(aligner, picture) for picture in unseen)
        out[name] = {
            "n_good": len(unseen),
            "n_good_refused": n_refused,
            "good_refused_at_most": float(f"{upper_bound(n_refused, len(unseen)):.3g}"),
            "residual_limit": round(settings.residual_limit, 3),
            "sharpness_limit": round(settings.sharpness_limit, 3),
            "max_angle_deg": round(settings.max_angle_deg, 1),
            "refused": {
                kind: round(sum(_refused(aligner, picture) for picture in pictures) / len(pictures), 3)
                for kind, pictures in (others | spoilt(unseen[:20], settings.max_angle_deg < 90)).items()
            },
        }
    return out


def upper_bound(n_hits: int, n: int, confidence: float = 0.95) -> float:
    """The largest probability of a hit under which `n_hits` or fewer of `n` are seen 1 - `confidence` of the time.

    Clopper and Pearson 1934, by bisection.
    """
    if n_hits >= n:
        return 1.0
    low, high = n_hits / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        seen = sum(
            math.exp(
                math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                + k * math.log(max(middle, 1e-300)) + (n - k) * math.log1p(-middle)
            )
            for k in range(n_hits + 1)
        )  # fmt: skip
        low, high = (middle, high) if seen > 1 - confidence else (low, middle)
    return high


def good_pictures(folder: Path, n_plates: int) -> dict[str, tuple[list[Grey], list[Grey]]]:
    """By product: pictures to calibrate with, and pictures to try."""
    from pipeline.plate import SimulatedLine

    line = SimulatedLine(seed=5, defect_rate=0.0)
    found = {
        "plate": ([line.unit(k).picture for k in range(60)], [line.unit(k).picture for k in range(60, 60 + n_plates)])
    }
    for name, patterns in (
        ("mvtec_screw", ("mvtec_screw/train/good/*.png", "mvtec_screw/test/good/*.png")),
        ("circuit_board", ("circuit_board/train/normal/*.jpg", "circuit_board/test/normal/*.jpg")),
    ):
        paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
        pictures = [
            np.asarray(p, np.uint8) for path in paths if (p := cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) is not None
        ]
        if len(pictures) >= 8:
            found[name] = (pictures[::2], pictures[1::2])
    return found


def spoilt(pictures: list[Grey], in_a_fixture: bool) -> dict[str, list[Grey]]:
    """What a line sends when something is wrong, made from good `pictures`."""
    height, width = pictures[0].shape
    rng = np.random.default_rng(3)
    kinds: dict[str, list[Grey]] = {
        "blank": [np.full((height, width), 128, np.uint8)],
        "all white": [np.full((height, width), 255, np.uint8)],
        "noise": [rng.integers(0, 255, (height, width)).astype(np.uint8) for _ in range(5)],
        "blurred": [np.asarray(cv2.GaussianBlur(p, (0, 0), max(height, width) / 64), np.uint8) for p in pictures],
        "half outside": [np.roll(p, width // 2, axis=1) for p in pictures],
    }
    if in_a_fixture:
        kinds["upside down"] = [np.ascontiguousarray(p[::-1, ::-1]) for p in pictures]
    return kinds


def _refused(aligner: Aligner, picture: Grey) -> bool:
    return aligner.align(picture).status is AlignmentStatus.MISALIGNED
