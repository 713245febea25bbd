"""What the student learns from: endless crops of procedural pictures and of pictures that may be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from engines.distil_camera import exposed, seen_again
from engines.distil_scenes import board, metal, turned_part
from engines.textures import Picture, collage, finish, texture
from schemas.errors import InputError

CROP_PX = 160
_SUFFIXES = (".jpg", ".png", ".bmp")
_PICTURE_SHARE = 0.45
_EXPOSED_SHARE = 0.75


def crops(rng: np.random.Generator, folders: Sequence[Path]) -> Iterator[Picture]:
    """(CROP_PX, CROP_PX, 3) uint8 RGB crops: nearly half from `folders` (each folder as often), the others procedural.

    Raises: InputError for a folder without pictures or a file that is none.
    """
    groups = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES) for folder in folders]
    for folder, group in zip(folders, groups, strict=True):
        if not group:
            raise InputError(f"{folder} holds no picture")
    while True:
        crop = _drawn(rng, groups)
        yield exposed(rng, crop) if rng.random() < _EXPOSED_SHARE else crop


def pairs(rng: np.random.Generator, folders: Sequence[Path]) -> Iterator[tuple[Picture, Picture]]:
    """Each of `crops`, and the same seen again (engines/distil_camera.py). Raises: as `crops`."""
    for crop in crops(rng, folders):
        yield crop, seen_again(rng, crop)


def _drawn(rng: np.random.Generator, groups: Sequence[Sequence[Path]]) -> Picture:
    """A crop of one of the pictures of `groups`, or a procedural one."""
    if groups and rng.random() < _PICTURE_SHARE:
        group = groups[int(rng.integers(len(groups)))]
        return _picture_crop(rng, group[int(rng.integers(len(group)))])
    kind = rng.random()
    if kind < 0.1:
        return finish(rng, texture(rng, CROP_PX))
    if kind < 0.55:
        return collage(rng, CROP_PX)
    return (metal, turned_part, board)[int(rng.integers(3))](rng, CROP_PX)


def _picture_crop(rng: np.random.Generator, path: Path) -> Picture:
    """A randomly turned, zoomed, mirrored and relit crop of the picture at `path`."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise InputError(f"{path} is not a picture")
    height, width = picture.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
    zoom = max(zoom, 1.1 * CROP_PX / min(height, width))
    centre = (float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.15, 0.85) * height))
    turn = np.array(cv2.getRotationMatrix2D(centre, float(rng.uniform(0, 360)), zoom), np.float64)
    turn[:, 2] += CROP_PX / 2 - np.array(centre)
    if rng.random() < 0.5:
        turn = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ turn
        turn[0, 2] += CROP_PX - 1
    fine = cv2.GaussianBlur(picture, (0, 0), 0.4 / zoom) if zoom < 0.8 else picture
    warped = cv2.warpAffine(fine, turn, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return finish(rng, np.asarray(warped, np.uint8)) if rng.random() < 0.6 else np.asarray(warped, np.uint8)
