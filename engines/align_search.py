"""Coarse search: where, and at which angle, does the part lie? Turned templates by FFT on a small picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_foreground import border_median
from engines.align_settings import AlignSettings
from engines.geometry import Size, Transform, compose, invert, resize_transform, rotation
from engines.kernel import kernel

F32 = NDArray[np.float32]

_LONGEST_PX = 32
_STEP_DEG = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class SearchBank:
    """Spectra of the turned templates, at most 32 pixels a side.

    `spectra` (A, h, w // 2 + 1) complex64; `shifts` (s,) int64, the flat places of the correlation within the
    capture range; `starts` (A, 2, 3) float64, the turns; `grow` working pixels per pixel of the search.
    """

    size: Size
    spectra: NDArray[np.complex64]
    shifts: NDArray[np.int64]
    starts: NDArray[np.float64]
    whole_circle: bool
    grow: tuple[float, float]


def turn(angle_deg: float, about: NDArray[np.float64], aspect: float) -> Transform:
    """A turn as seen in the frame, in template pixels whose height is `aspect` times their width."""
    physical = np.array([[1.0, 0.0, 0.0], [0.0, aspect, 0.0]])
    return compose(invert(physical), compose(rotation(angle_deg, about * (1.0, aspect)), physical))


def build_search(grey: F32, trust: F32, settings: AlignSettings) -> SearchBank:
    """The bank for a template `grey` (H, W) whose part is `trust` (H, W) in 0 to 1, over the capture range."""
    height, width = grey.shape
    shrink = max(width, height) / _LONGEST_PX
    size = (max(8, round(width / shrink)), max(8, round(height / shrink)))
    if settings.max_angle_deg >= 180.0:
        angles = np.arange(-180.0, 180.0, _STEP_DEG)
    else:
        half = math.ceil(settings.max_angle_deg / _STEP_DEG)
        angles = np.linspace(-settings.max_angle_deg, settings.max_angle_deg, 2 * half + 1)
    ys, xs = np.indices(grey.shape)
    centre = np.array([np.average(xs, weights=trust), np.average(ys, weights=trust)])
    starts = np.stack([turn(angle, centre, settings.pixel_aspect) for angle in angles.tolist()])
    grow = resize_transform(size, (width, height))
    dx = np.minimum(np.arange(size[0]), size[0] - np.arange(size[0])) * grow[0, 0]
    dy = np.minimum(np.arange(size[1]), size[1] - np.arange(size[1]))[:, None] * grow[1, 1]
    reach = settings.max_shift_px + shrink / 2
    return SearchBank(
        size,
        np.stack([_spectrum(grey, trust, start, size) for start in starts]),
        np.flatnonzero((dx <= reach) & (dy <= reach)).astype(np.int64),
        starts,
        settings.max_angle_deg >= 180.0,
        (float(grow[0, 0]), float(grow[1, 1])),
    )


def _spectrum(grey: F32, trust: F32, start: Transform, size: Size) -> NDArray[np.complex64]:
    """(h, w // 2 + 1) conjugate spectrum of the template turned by `start`, its mean removed, at unit energy."""
    full = (grey.shape[1], grey.shape[0])
    turned = cv2.warpAffine(grey, start, full, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(trust, start, full, flags=cv2.INTER_LINEAR)
    turned = cv2.resize(turned, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    part = (turned - float((turned * weight).sum()) / max(float(weight.sum()), 1e-6)) * weight
    part /= max(float(np.sqrt((part**2).sum())), 1e-6)
    return np.conj(np.fft.rfft2(part)).astype(np.complex64)


@kernel
def _best_shift(scores: F32, shifts: NDArray[np.int64]) -> int:
    """The place of the highest of `scores` (h * w) among `shifts`."""
    best = shifts[0]
    for i in range(shifts.size):
        if scores[shifts[i]] > scores[best]:
            best = shifts[i]
    return int(best)


@kernel
def _peaks(scores: F32, shifts: NDArray[np.int64], whole_circle: bool, n_best: int) -> NDArray[np.int64]:
    """(k, 3) turn, row and column of the highest of `scores` (A, h, w), best first; `scores` is used up.

    Around each found one everything within 3 turns and 2 pixels is out: a blotch on the part that draws one turn to
    a wrong place leaves the right place of the same turn to be found next.
    """
    n_angles, height, width = scores.shape
    flat = scores.reshape(n_angles, height * width)
    place = np.empty(n_angles, np.int64)
    for k in range(n_angles):
        place[k] = _best_shift(flat[k], shifts)
    found = np.empty((n_best, 3), np.int64)
    for n in range(n_best):
        top = 0
        for k in range(1, n_angles):
            if flat[k, place[k]] > flat[top, place[top]]:
                top = k
        if not flat[top, place[top]] > -np.inf:
            return found[:n]
        y, x = place[top] // width, place[top] % width
        found[n, 0], found[n, 1], found[n, 2] = top, y, x
        for turn_off in range(-3, 4):
            k = top + turn_off
            if not whole_circle and (k < 0 or k >= n_angles):
                continue
            k %= n_angles
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    scores[k, (y + dy) % height, (x + dx) % width] = -np.inf
            place[k] = _best_shift(flat[k], shifts)
    return found


def search(bank: SearchBank, grey: F32, n_best: int) -> NDArray[np.float64]:
    """(k, 2, 3) the likeliest poses, best first, template px -> working frame px; at most `n_best`.

    Args: grey: (h, w) float32, any reduction of the working frame.
    """
    small = np.asarray(cv2.resize(grey, bank.size, interpolation=cv2.INTER_AREA), np.float32)
    spectrum = np.fft.rfft2(small - np.float32(border_median(small)))
    scores = np.asarray(np.fft.irfft2(bank.spectra * spectrum, s=small.shape), np.float32)
    width, height = bank.size
    found = _peaks(scores, bank.shifts, bank.whole_circle, n_best)
    poses = bank.starts[found[:, 0]]
    dy, dx = found[:, 1], found[:, 2]
    poses[:, 0, 2] += np.where(2 * dx > width, dx - width, dx) * bank.grow[0]
    poses[:, 1, 2] += np.where(2 * dy > height, dy - height, dy) * bank.grow[1]
    return poses
