"""MAD-RTO: any folder in MVTec's layout with every picture turned at random and cropped, masks alike.

The paper (004 §3.1) turns and crops the object classes of MVTec AD so that parts no longer lie alike; it gives no
generator. Ours: an angle over the whole circle about the picture's centre, the border repeated outwards, then a
window of nine tenths of the picture's sides at a random place. One seed, and a picture's place in the order of
its path, decide both.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import find_pictures
from pipeline.good_parts import picture_paths
from schemas.errors import InputError

SEED = 2021
KEPT = 0.9

Pixels = NDArray[Any]


def write_rto(source: Path, target: Path, seed: int = SEED) -> Path:
    """`source` turned and cropped into `target`, as PNG, in the same layout; returns `target`.

    Raises: InputError when `source` is not in MVTec's layout or holds an unreadable picture.
    """
    rng = np.random.default_rng(seed)
    for path in picture_paths(source / "train" / "good"):
        _write(target / "train" / "good" / f"{path.stem}.png", _moved(_read(path), *_draw(rng), cv2.INTER_LINEAR))
    for picture in find_pictures(source):
        turn, at = _draw(rng)
        folder = target / "test" / picture.kind
        _write(folder / f"{picture.path.stem}.png", _moved(_read(picture.path), turn, at, cv2.INTER_LINEAR))
        if picture.mask is not None:
            mask = _moved(_read(picture.mask), turn, at, cv2.INTER_NEAREST)
            _write(target / "ground_truth" / picture.kind / f"{picture.path.stem}_mask.png", mask)
    return target


def _draw(rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
    """An angle in degrees, and where in the free margin the window lies, (0..1, 0..1)."""
    return float(rng.uniform(0, 360)), (float(rng.random()), float(rng.random()))


def _moved(pixels: Pixels, turn_deg: float, at: tuple[float, float], interpolation: int) -> Pixels:
    """`pixels` turned about their centre, and the window cut out; masks (nearest neighbour) gain nothing."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
    border = cv2.BORDER_CONSTANT if interpolation == cv2.INTER_NEAREST else cv2.BORDER_REPLICATE
    turned = cv2.warpAffine(pixels, matrix, (width, height), flags=interpolation, borderMode=border)
    kept = math.floor(KEPT * width), math.floor(KEPT * height)
    left, top = round(at[0] * (width - kept[0])), round(at[1] * (height - kept[1]))
    return turned[top : top + kept[1], left : left + kept[0]]


def _read(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise InputError(f"{path} is not a picture")
    return pixels


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
