"""Procedural pictures: noise, stripes, cells and overlapping shapes; nothing is downloaded.

They teach the student backbone (distillation) and serve as foreign texture for synthetic defects.
Every function draws from the generator it is given, so one seed makes one picture.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]


def fractal_noise(rng: np.random.Generator, size_px: int, roughness: float) -> Float:
    """(size, size) noise in [0, 1]: octaves of smooth random grids, each `roughness` times the one before."""
    total = np.zeros((size_px, size_px), np.float32)
    amplitude = 1.0
    cells = int(rng.integers(2, 6))
    while cells <= size_px:
        grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
        total += amplitude * cv2.resize(grid, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        amplitude *= roughness
        cells *= 2
    return _stretch(total)


def stripes(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) stripes in [0, 1] of random period, angle, sharpness and waviness."""
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    bend = fractal_noise(rng, size_px, 0.4) * rng.choice([0.0, 4.0, 30.0])
    phase = (x * np.cos(angle) + y * np.sin(angle) + bend) * 2 * np.pi / rng.uniform(4, 48)
    return _stretch(np.tanh(np.sin(phase) * rng.uniform(0.5, 6)))


def cells(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) distance to the nearest of some random seeds, in [0, 1]: pebbles, grains, foam."""
    seeds = np.full((size_px, size_px), 255, np.uint8)
    at = rng.integers(0, size_px, (int(rng.integers(8, 300)), 2))
    seeds[at[:, 0], at[:, 1]] = 0
    return _stretch(cv2.distanceTransform(seeds, cv2.DIST_L2, 5).astype(np.float32))


def speckle(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) blurred white noise in [0, 1]: metal, paper, sensor grain."""
    noise = rng.standard_normal((size_px, size_px)).astype(np.float32)
    sigma_x, sigma_y = np.exp(rng.uniform(np.log(0.4), np.log(6), 2))
    return _stretch(cv2.GaussianBlur(noise, (0, 0), float(sigma_x), sigmaY=float(sigma_y)))


def tone(rng: np.random.Generator, size_px: int) -> Float:
    """(size, size) texture in [0, 1] of a random kind, or a mixture of two."""

    def one() -> Float:
        kind = rng.integers(0, 5)
        if kind == 0:
            return fractal_noise(rng, size_px, float(rng.uniform(0.3, 0.9)))
        if kind == 1:
            return stripes(rng, size_px)
        if kind == 2:
            return cells(rng, size_px)
        if kind == 3:
            return speckle(rng, size_px)
        return np.full((size_px, size_px), 0.5, np.float32)

    first = one()
    if rng.random() < 0.4:
        first = _stretch(first + one() * np.float32(rng.uniform(0.2, 1.5)))
    if rng.random() < 0.2:
        first = (first > rng.uniform(0.3, 0.7)).astype(np.float32)
    return first


def texture(rng: np.random.Generator, size_px: int) -> Picture:
    """(size, size, 3) uint8 RGB texture: a tone between two random colours (half the time greys)."""
    low, high = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        low[:], high[:] = low[0], high[0]
    shade = tone(rng, size_px)[..., None]
    return np.asarray(np.clip(low + (high - low) * shade, 0, 255), np.uint8)


def collage(rng: np.random.Generator, size_px: int) -> Picture:
    """(size, size, 3) uint8 RGB: shapes filled with textures lying over each other, marks and text on top."""
    picture = texture(rng, size_px)
    for _ in range(int(rng.integers(0, 14))):
        mask = np.zeros((size_px, size_px), np.uint8)
        _shape(rng, mask)
        fill = texture(rng, size_px)
        if rng.random() < 0.5:
            fill = np.asarray(fill // 4 + rng.integers(0, 192, (1, 1, 3)), np.uint8)
        soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.3, 2.0))).astype(np.float32)[..., None] / 255
        picture = np.asarray(picture * (1 - soft) + fill * soft, np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        _mark(rng, picture)
    return finish(rng, picture)


def finish(rng: np.random.Generator, picture: Picture) -> Picture:
    """`picture` (H, W, 3) under uneven light, with gain, gamma, blur and sensor noise of random strength."""
    height, width = picture.shape[:2]
    light = rng.standard_normal((3, 3)).astype(np.float32) * np.float32(rng.choice([0, 0.1, 0.25]))
    field = 1 + cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    gain, lift = rng.uniform(0.5, 1.3), rng.uniform(-20, 40)
    value = np.clip(picture.astype(np.float32) * field * np.float32(gain) + np.float32(lift), 0, 255)
    value = 255 * (value / 255) ** np.float32(rng.uniform(0.6, 1.6))
    if rng.random() < 0.4:
        value = cv2.GaussianBlur(value, (0, 0), float(rng.uniform(0.4, 2.0)))
    value += rng.standard_normal(value.shape).astype(np.float32) * np.float32(rng.choice([0, 1, 3, 8]))
    if rng.random() < 0.3:
        value[:] = value.mean(2, keepdims=True)
    return np.asarray(np.clip(value, 0, 255), np.uint8)


def _shape(rng: np.random.Generator, mask: Picture) -> None:
    """Fill one random polygon, ellipse, bar or ring of `mask` with 255, in place."""
    size_px = mask.shape[0]
    centre = rng.integers(0, size_px, 2)
    radius = float(np.exp(rng.uniform(np.log(4), np.log(size_px / 2))))
    kind = rng.integers(0, 4)
    at = (int(centre[0]), int(centre[1]))
    if kind == 0:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = radius * rng.uniform(0.5, 1, angles.size)
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None] + centre
        cv2.fillPoly(mask, [corners.astype(np.int32)], (255,))
    elif kind == 1:
        axes = (int(radius) + 1, int(radius * rng.uniform(0.3, 1)) + 1)
        cv2.ellipse(mask, at, axes, float(rng.uniform(0, 180)), 0, 360, (255,), -1)
    elif kind == 2:
        box = cv2.boxPoints((at, (radius * 2, radius * float(rng.uniform(0.1, 1.5))), float(rng.uniform(0, 180))))
        cv2.fillPoly(mask, [box.astype(np.int32)], (255,))
    else:
        cv2.circle(mask, at, int(radius) + 2, (255,), max(1, int(radius * rng.uniform(0.1, 0.5))))


def _mark(rng: np.random.Generator, picture: Picture) -> None:
    """Draw one line, curve or word on `picture`, in place."""
    size_px = picture.shape[0]
    colour: Any = tuple(int(c) for c in rng.integers(0, 256, 3))
    if rng.random() < 0.5:
        points = np.cumsum(rng.normal(0, size_px / 12, (int(rng.integers(2, 8)), 2)), 0) + rng.uniform(0, size_px, 2)
        cv2.polylines(picture, [points.astype(np.int32)], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
        return
    word = "".join(chr(int(c)) for c in rng.integers(48, 91, int(rng.integers(1, 7))))
    at = (int(rng.integers(0, size_px)), int(rng.integers(0, size_px)))
    scale, width = float(rng.uniform(0.4, 1.6)), int(rng.integers(1, 4))
    cv2.putText(picture, word, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)


def _stretch(value: NDArray[Any]) -> Float:
    low, high = float(value.min()), float(value.max())
    return np.asarray((value - low) / max(high - low, 1e-6), np.float32)
