"""Coarse search: where, and at which angle, does the part lie? Rotated templates by FFT on a small picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_foreground import border_level
from engines.align_settings import AlignSettings
from engines.geometry import Size, Transform, compose, invert, resize_transform, rotation

F32 = NDArray[np.float32]

_LONGEST_PX = 32
_STEP_DEG = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class SearchBank:
    """Spectra of the turned templates. `spectra` (A, h, w // 2 + 1) complex64, `allowed` (h, w) bool shifts."""

    size: Size
    full_size: Size
    angles_deg: NDArray[np.float64]
    whole_circle: bool
    spectra: NDArray[np.complex64]
    allowed: NDArray[np.bool_]
    aspect: float
    centre: NDArray[np.float64]


def turn(angle_deg: float, about: NDArray[np.float64], aspect: float) -> Transform:
    """A turn as seen in the frame, in template pixels whose height is `aspect` times their width."""
    physical = np.array([[1.0, 0.0, 0.0], [0.0, aspect, 0.0]])
    return compose(invert(physical), compose(rotation(angle_deg, about * (1.0, aspect)), physical))


def _spectrum(
    grey: F32, mask: F32, about: NDArray[np.float64], angle_deg: float, size: Size, aspect: float
) -> NDArray[np.complex64]:
    full = (grey.shape[1], grey.shape[0])
    matrix = turn(angle_deg, about, aspect)
    turned = cv2.warpAffine(grey, matrix, full, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(mask, matrix, full, flags=cv2.INTER_LINEAR)
    turned = cv2.resize(turned, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    total = float(weight.sum())
    part = (turned - float((turned * weight).sum()) / max(total, 1e-6)) * weight
    part /= max(float(np.sqrt((part**2).sum())), 1e-6)
    return np.conj(np.fft.rfft2(part)).astype(np.complex64)


def build_search(grey: F32, mask: NDArray[np.bool_], settings: AlignSettings) -> SearchBank:
    """The bank for a template `grey` (H, W) and its part `mask`, over the settings' capture range."""
    height, width = grey.shape
    shrink = max(width, height) / _LONGEST_PX
    size = (max(8, round(width / shrink)), max(8, round(height / shrink)))
    if settings.max_angle_deg >= 180.0:
        angles = np.arange(-180.0, 180.0, _STEP_DEG)
    else:
        half = math.ceil(settings.max_angle_deg / _STEP_DEG)
        angles = np.linspace(-settings.max_angle_deg, settings.max_angle_deg, 2 * half + 1)
    ys, xs = np.nonzero(mask)
    centre = np.array([xs.mean(), ys.mean()])
    weight = mask.astype(np.float32)
    spectra = np.stack([_spectrum(grey, weight, centre, a, size, settings.pixel_aspect) for a in angles.tolist()])
    reach = settings.max_shift_px / shrink + 0.5
    dx = np.minimum(np.arange(size[0]), size[0] - np.arange(size[0]))
    dy = np.minimum(np.arange(size[1]), size[1] - np.arange(size[1]))[:, None]
    allowed = (dx <= reach) & (dy <= reach)
    return SearchBank(
        size, (width, height), angles, settings.max_angle_deg >= 180.0, spectra, allowed, settings.pixel_aspect, centre
    )


def search(bank: SearchBank, grey: F32, n_best: int) -> list[Transform]:
    """The likeliest poses of the part in `grey`, best first, as transforms template px -> working frame px.

    Args: grey: (h, w) float32, any reduction of the working frame. n_best: at most so many.
    """
    small = np.asarray(cv2.resize(grey, bank.size, interpolation=cv2.INTER_AREA), np.float32)
    small = small - border_level(small)[0]
    scores = np.fft.irfft2(bank.spectra * np.fft.rfft2(small), s=small.shape)
    scores[:, ~bank.allowed] = -np.inf
    flat = scores.reshape(len(bank.angles_deg), -1)
    places = flat.argmax(axis=1)
    best = np.take_along_axis(flat, places[:, None], axis=1)[:, 0]
    before, after = np.roll(best, 1), np.roll(best, -1)
    if not bank.whole_circle:
        before[0] = after[-1] = -np.inf
    peaks = np.flatnonzero((best >= before) & (best >= after))
    found = peaks[np.argsort(-best[peaks], kind="stable")][:n_best]
    grow = resize_transform(bank.size, bank.full_size)
    poses = []
    for index in found.tolist():
        y, x = divmod(int(places[index]), bank.size[0])
        shift = np.array(
            [x - bank.size[0] if 2 * x > bank.size[0] else x, y - bank.size[1] if 2 * y > bank.size[1] else y]
        )
        transform = turn(float(bank.angles_deg[index]), bank.centre, bank.aspect)
        transform[:, 2] += shift * (grow[0, 0], grow[1, 1])
        poses.append(transform)
    return poses
