"""Frames with a known pose: good pictures moved exactly, sampled as a camera does, with noise and defects."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Size, Transform, compose, crop_transform, invert, motion, resize_transform, working_size
from engines.kernel import kernel

F32 = NDArray[np.float32]
Grey = NDArray[np.uint8]

_SAMPLES = 3
_LONGEST_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A picture (h, w) float32, larger than the frames; the `view` (x, y, w, h) of it that the template shows."""

    name: str
    picture: F32
    view: tuple[int, int, int, int]
    frame_size: Size
    fills_picture: bool

    def frame(self, truth: Transform) -> F32:
        """(H, W) float32 frame under `truth` (template px -> frame px), each pixel the mean of 3x3 exact samples."""
        fine = (self.frame_size[0] * _SAMPLES, self.frame_size[1] * _SAMPLES)
        x, y, width, height = self.view
        to_view = compose(resize_transform(self.frame_size, (width, height)), invert(truth))
        to_picture = compose(invert(crop_transform(x, y)), to_view)
        out = np.empty((fine[1], fine[0]), np.float32)
        _resample(self.picture, np.ascontiguousarray(compose(to_picture, resize_transform(fine, self.frame_size))), out)
        return np.asarray(cv2.resize(out, self.frame_size, interpolation=cv2.INTER_AREA), np.float32)

    def template(self) -> Grey:
        """(H, W) uint8, the frame at the nominal pose, without noise."""
        return expose(self.frame(motion(self.frame_size, self.frame_size, 0, 0, 0)), 0.0, np.random.default_rng(0))


@kernel
def _resample(source: F32, matrix: NDArray[np.float64], out: F32) -> None:
    """Catmull-Rom samples of `source` at matrix @ (x, y), without the 1/32 px grid of cv2.warpAffine."""
    height, width = source.shape
    wx, wy = np.empty(4), np.empty(4)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
            v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
            u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
            iu, iv = int(u), int(v)
            for w, f in ((wx, u - iu), (wy, v - iv)):
                w[0] = ((-0.5 * f + 1) * f - 0.5) * f
                w[1] = (1.5 * f - 2.5) * f * f + 1
                w[2] = ((-1.5 * f + 2) * f + 0.5) * f
                w[3] = (0.5 * f - 0.5) * f * f
            total = 0.0
            for j in range(4):
                row = min(max(iv - 1 + j, 0), height - 1)
                for i in range(4):
                    total += wy[j] * wx[i] * source[row, min(max(iu - 1 + i, 0), width - 1)]
            out[y, x] = total


def expose(light: F32, noise: float, rng: np.random.Generator) -> Grey:
    """`light` (H, W) in grey levels as 8 bits, with Gaussian `noise` as a share of the full range."""
    seen = light if noise == 0 else light + rng.standard_normal(light.shape, np.float32) * np.float32(noise * 255)
    return np.asarray(np.clip(np.rint(seen), 0, 255), np.uint8)


def paste_defect(light: F32, at: tuple[float, float], size_px: int, rng: np.random.Generator) -> F32:
    """`light` (H, W) with a square of `size_px` pixels of blotchy texture around `at` (x, y)."""
    height, width = light.shape
    x0, y0 = (
        int(np.clip(round(c - size_px / 2), 0, side - size_px)) for c, side in zip(at, (width, height), strict=True)
    )
    texture = cv2.GaussianBlur(rng.standard_normal((size_px, size_px), np.float32), (0, 0), max(1.0, size_px / 10))
    out = light.copy()
    out[y0 : y0 + size_px, x0 : x0 + size_px] = 128 + 70 * texture / max(float(texture.std()), 1e-6)
    return out


def data_folder() -> Path:
    """Where the real pictures lie: SIGHTLINE_DATA, else shared/data beside the repository."""
    return Path(os.environ.get("SIGHTLINE_DATA") or Path(__file__).resolve().parents[1].parent / "shared" / "data")


def load_products(folder: Path) -> tuple[list[Product], list[str]]:
    """The products whose pictures are in `folder`, and the demo's plate; the names of those that are missing."""
    found, missing = [_plate()], []
    for name, pattern in (
        ("mvtec_screw", "mvtec_screw/train/good/*.png"),
        ("deeppcb", "deeppcb/*/*/*_temp.jpg"),
        ("circuit_board", "circuit_board/train/normal/*.jpg"),
    ):
        paths = sorted(folder.glob(pattern))
        picture = cv2.imread(str(paths[0]), cv2.IMREAD_GRAYSCALE) if paths else None
        if picture is None:
            missing.append(name)
        else:
            found.append(_product(name, np.asarray(picture, np.float32)))
    return found, missing


def _product(name: str, picture: F32) -> Product:
    """A board that fills the picture shows its inner 70%, so that what turns into view is board and not border."""
    height, width = picture.shape
    fills = name == "deeppcb"
    view = (
        (round(0.15 * width), round(0.15 * height), round(0.7 * width), round(0.7 * height))
        if fills
        else (0, 0, width, height)
    )
    return Product(name, picture, view, working_size(view[2:], _LONGEST_PX), fills)


def _plate() -> Product:
    from pipeline.plate import SimulatedLine

    unit = SimulatedLine(size_px=512, defect_rate=0.0, max_shift_px=0.0, max_angle_deg=0.0).unit(0)
    return _product("plate", unit.picture.astype(np.float32))
