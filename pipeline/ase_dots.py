"""The pink dots of an ASE-like picture: a grid of bumps under a ring lamp, and what can be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 232
N_DOTS = 11
_FINE = 3
"""Pixels are drawn this many times finer, then averaged."""
_PITCH_PX, _RADIUS_PX = 19.6, 6.3
_PINK, _RIM, _GROUND = (238.0, 122.0, 178.0), (196.0, 70.0, 128.0), (38.0, 20.0, 30.0)
_SHIFT = 4
_FAULTS = ("missing", "shrunken", "swollen", "shifted", "bridged", "smeared", "dark")
SPOILT_DOTS = (1, 4)
"""Least and most dots that a fault spoils: what touched one dot touched its neighbours."""
_NEAR_PX = 2.2 * _PITCH_PX
"""How far from the first the other spoilt dots lie at most."""
_NOISE, _PLAIN = 3.0, 12.0
"""Standard deviation of the sensor's noise, and the change that is told from it, in grey levels."""
_SMEAR_PX = 15.0
"""Half the length of a smear."""


@dataclass(slots=True)
class _Dots:
    """Every dot of a field: centres (n, 2) px x and y, radii (n,) px, brightness (n,) of the pink."""

    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    light: NDArray[np.float64]
    bridges: list[tuple[int, int, float]]
    smears: list[tuple[int, float]]


def draw_dots(rng: np.random.Generator, severity: float) -> NDArray[np.uint8]:
    """(SIDE_PX, SIDE_PX, 3) uint8 RGB. `severity`: 0 for a good field, about 1 for a fault that is plain to see."""
    dots = _place(rng)
    _blemish(dots, rng)
    if severity > 0:
        _fault(dots, severity, rng)
    return _expose(_paint(dots), dots, rng)


def fault_pixels(rng: np.random.Generator, severity: float) -> NDArray[np.bool_]:
    """(SIDE_PX, SIDE_PX) where the fault of the field that `draw_dots` draws of these changed it by more than noise."""
    dots = _place(rng)
    _blemish(dots, rng)
    before = _paint(dots)
    _fault(dots, severity, rng)
    changed = np.abs(_paint(dots) - before).max(2) > _PLAIN
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    for at, _ in dots.smears:
        x, y = dots.centres[at]
        changed |= np.hypot(columns - x, rows - y) < _SMEAR_PX
    return np.asarray(changed, np.bool_)


def _place(rng: np.random.Generator) -> _Dots:
    grid = (np.arange(N_DOTS) - (N_DOTS - 1) / 2) * _PITCH_PX
    columns, rows = np.meshgrid(grid, grid)
    turn = np.deg2rad(rng.normal(0, 0.4))
    x = columns * np.cos(turn) - rows * np.sin(turn) + SIDE_PX / 2 + rng.normal(0, 1.2)
    y = columns * np.sin(turn) + rows * np.cos(turn) + SIDE_PX / 2 + rng.normal(0, 1.2)
    n = x.size
    centres = np.stack((x.ravel(), y.ravel()), axis=1) + rng.normal(0, 0.35, (n, 2))
    return _Dots(centres, _RADIUS_PX * rng.normal(1, 0.035, n), rng.normal(1, 0.045, n), [], [])


def _blemish(dots: _Dots, rng: np.random.Generator) -> None:
    """What good parts have too: a dot a little small, a little dim, a little off its place."""
    for _ in range(rng.poisson(1.6)):
        dots.radii[rng.integers(len(dots.radii))] *= rng.uniform(0.86, 1.12)
    for _ in range(rng.poisson(1.2)):
        dots.light[rng.integers(len(dots.light))] *= rng.uniform(0.72, 0.95)
    for _ in range(rng.poisson(0.8)):
        dots.centres[rng.integers(len(dots.centres))] += rng.normal(0, 0.9, 2)


def _fault(dots: _Dots, severity: float, rng: np.random.Generator) -> None:
    """One cause: several dots beside one another, each spoilt in the same way or in one of two."""
    kinds = rng.choice(len(_FAULTS), 2, replace=False)
    far = np.linalg.norm(dots.centres - dots.centres[int(rng.integers(len(dots.radii)))], axis=1)
    near = np.flatnonzero(far <= _NEAR_PX)
    n = int(rng.integers(SPOILT_DOTS[0], SPOILT_DOTS[1] + 1))
    for at in rng.permutation(near)[:n]:
        _spoil(dots, int(at), _FAULTS[int(kinds[int(rng.random() < 0.3)])], severity, rng)


def _spoil(dots: _Dots, at: int, fault: str, severity: float, rng: np.random.Generator) -> None:
    if fault == "missing":
        dots.light[at] *= 1 - min(0.9 * severity, 0.97)
        dots.radii[at] *= 1 - 0.25 * severity
    elif fault == "shrunken":
        dots.radii[at] *= 1 - min(0.42 * severity, 0.7)
    elif fault == "swollen":
        dots.radii[at] *= 1 + 0.42 * severity
    elif fault == "shifted":
        angle = rng.uniform(0, 2 * np.pi)
        dots.centres[at] += 5.0 * severity * np.array([np.cos(angle), np.sin(angle)])
    elif fault == "bridged":
        row, column = divmod(at, N_DOTS)
        other = (
            at + (1 if column < N_DOTS - 1 else -1)
            if rng.random() < 0.5
            else at + (N_DOTS if row < N_DOTS - 1 else -N_DOTS)
        )
        dots.bridges.append((at, other, 3.4 * severity))
    elif fault == "smeared":
        dots.smears.append((at, severity))
    else:
        near = np.linalg.norm(dots.centres - dots.centres[at], axis=1) < rng.uniform(15, 34)
        dots.light[near] *= 1 - min(0.42 * severity, 0.75)


def _paint(dots: _Dots) -> NDArray[np.float32]:
    """(S, S, 3) float32: dots with a rim and a highlight over the ground, antialiased by averaging."""
    fine = np.empty((SIDE_PX * _FINE, SIDE_PX * _FINE, 3), np.uint8)
    fine[:] = _GROUND
    scale = _FINE * 2**_SHIFT

    def disc(centre: NDArray[np.float64], radius: float, colour: NDArray[np.float64]) -> None:
        x, y = np.round(centre * scale).astype(int).tolist()
        cv2.circle(fine, (x, y), max(round(radius * scale), 1), colour.tolist(), -1, cv2.LINE_8, _SHIFT)

    for first, second, width in dots.bridges:
        ends = [np.round(dots.centres[i] * scale).astype(int).tolist() for i in (first, second)]
        cv2.line(
            fine, ends[0], ends[1], (np.array(_PINK) * 0.9).tolist(), max(round(width * _FINE), 1), cv2.LINE_8, _SHIFT
        )
    for centre, radius, light in zip(dots.centres, dots.radii, dots.light, strict=True):
        glow = np.array(_GROUND) + (np.array(_RIM) - np.array(_GROUND)) * light
        disc(centre, float(radius), glow)
        disc(centre, float(radius) * 0.78, np.array(_GROUND) + (np.array(_PINK) - np.array(_GROUND)) * light)
        disc(
            centre + np.array([-0.22, -0.24]) * radius,
            float(radius) * 0.26,
            np.minimum(np.array(_PINK) * 1.18 * light, 255),
        )
    return np.asarray(cv2.resize(fine, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float32)


def _expose(picture: NDArray[np.float32], dots: _Dots, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smears, uneven light, focus, and the sensor's noise."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)
    for at, severity in dots.smears:
        x, y = dots.centres[at]
        along = rng.uniform(0, np.pi)
        u = (columns - x) * np.cos(along) + (rows - y) * np.sin(along)
        v = (rows - y) * np.cos(along) - (columns - x) * np.sin(along)
        haze = np.exp(-((u / _SMEAR_PX) ** 2) - (v / 7) ** 2) * min(0.75 * severity, 0.95)
        picture += haze[:, :, None].astype(np.float32) * (np.array((120.0, 70.0, 95.0), np.float32) - picture)
    lamp = 1 + rng.normal(0, 0.05) * (columns / SIDE_PX - 0.5) + rng.normal(0, 0.05) * (rows / SIDE_PX - 0.5)
    picture *= (lamp * rng.normal(1, 0.03))[:, :, None].astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 0.85))), np.float32)
    picture += _NOISE * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.clip(np.round(picture), 0, 255), np.uint8)
