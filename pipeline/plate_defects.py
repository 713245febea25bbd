"""Faults of the demo's plate, painted into its layers before the camera sees it: the truth is known to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate_design import HOLES, Design, Layer


class DefectKind(StrEnum):
    """What can be wrong with a plate."""

    PIT = "pit"
    STAIN = "stain"
    MISSING_HOLE = "missing_hole"
    SCRATCH = "scratch"
    FIXTURE_SCRATCH = "fixture_scratch"


RANDOM_KINDS = (DefectKind.PIT, DefectKind.STAIN, DefectKind.MISSING_HOLE, DefectKind.SCRATCH)
"""Faults that come at random, at any place."""


@dataclass(frozen=True, slots=True)
class FixtureScratch:
    """A burr in the fixture: from unit `first_unit` on it scratches a share `hit_rate` of the parts at one place.

    `start` and `end` are fractions of the picture's side from the middle of the plate (x right, y down).
    """

    first_unit: int
    hit_rate: float = 1.0
    start: tuple[float, float] = (-0.315, 0.200)
    end: tuple[float, float] = (-0.135, 0.162)

    def __post_init__(self) -> None:
        if self.first_unit < 0 or not 0 < self.hit_rate <= 1:
            raise ValueError(
                f"fixture scratch from unit {self.first_unit} at hit rate {self.hit_rate}: "
                "the unit must be 0 or more, the rate above 0 and at most 1"
            )


@dataclass(slots=True, eq=False)
class PaintedLayers:
    """One unit's own copy of the layers, and the truth `mask` (R, R) uint8, 255 where a fault was painted."""

    plate: Layer
    ground: Layer
    mask: NDArray[np.uint8]

    @classmethod
    def of(cls, design: Design) -> PaintedLayers:
        """A fresh copy of the faultless layers of `design`."""
        return cls(design.plate.copy(), design.ground.copy(), np.zeros(design.plate.shape, np.uint8))


def paint_defect(kind: DefectKind, layers: PaintedLayers, design: Design, rng: np.random.Generator) -> None:
    """Paint one random fault of `kind` into `layers`, at a place and of a size that `rng` draws."""
    if kind is DefectKind.PIT:
        _paint_pit(layers, _place(design, rng), rng)
    elif kind is DefectKind.STAIN:
        _paint_stain(layers, _place(design, rng), rng)
    elif kind is DefectKind.SCRATCH:
        start = _place(design, rng)
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.06, 0.16) * design.side
        end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
        _paint_scratch(layers, design, (start, end), rng)
    elif kind is DefectKind.MISSING_HOLE:
        _close_hole(layers, design, rng)
    else:
        raise ValueError(f"{kind.value} is not a random fault; use paint_fixture_scratch")


def paint_fixture_scratch(
    scratch: FixtureScratch, layers: PaintedLayers, design: Design, rng: np.random.Generator
) -> None:
    """Paint the fixture's scratch, with the slight variation of one part to the next."""
    jitter = rng.normal(0, 0.0016, (2, 2))
    ends = [
        tuple((np.array(end) + jitter[i] + 0.5) * design.side) for i, end in enumerate((scratch.start, scratch.end))
    ]
    _paint_scratch(layers, design, ((ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])), rng)


def _place(design: Design, rng: np.random.Generator) -> tuple[float, float]:
    """A pixel (x, y) of the layers on the plate's face, away from edges and holes."""
    while True:
        x, y = rng.integers(0, design.side, 2)
        if design.face[y, x]:
            return float(x), float(y)


def _window(centre: tuple[float, float], reach: float, side: int) -> tuple[slice, slice, Layer, Layer]:
    """Rows, columns, and the x and y offsets from `centre` of every pixel within `reach`."""
    x, y = centre
    top, left = max(0, int(y - reach)), max(0, int(x - reach))
    bottom, right = min(side, int(y + reach) + 2), min(side, int(x + reach) + 2)
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    return slice(top, bottom), slice(left, right), columns - np.float32(x), rows - np.float32(y)


def _paint_pit(layers: PaintedLayers, centre: tuple[float, float], rng: np.random.Generator) -> None:
    side = layers.plate.shape[0]
    radius = rng.uniform(0.007, 0.014) * side
    stretch, angle = rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
    rows, columns, dx, dy = _window(centre, 3.2 * radius, side)
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / (radius * stretch)
    across = (-dx * np.sin(angle) + dy * np.cos(angle)) / radius
    bowl = np.exp(-((along**2 + across**2) ** 2))
    rim = np.clip((0.55 * dx + 0.83 * dy) / radius, -1, 1) * np.exp(-((along**2 + across**2 - 1) ** 2) / 0.35)
    layers.plate[rows, columns] *= np.clip(1 - rng.uniform(0.55, 0.8) * bowl + 0.35 * rim, 0.05, 1.6)
    layers.mask[rows, columns][bowl > 0.3] = 255


def _paint_stain(layers: PaintedLayers, centre: tuple[float, float], rng: np.random.Generator) -> None:
    side = layers.plate.shape[0]
    radius = rng.uniform(0.022, 0.045) * side
    rows, columns, dx, dy = _window(centre, 1.9 * radius, side)
    blotches = cv2.GaussianBlur(rng.standard_normal(dx.shape, dtype=np.float32), (0, 0), radius / 3)
    blotches = blotches * np.float32(0.45 / blotches.std())
    edge = 1.0 - np.hypot(dx, dy) / radius + 0.6 * blotches
    film = 1 / (1 + np.exp(-edge * 14))
    layers.plate[rows, columns] *= 1 - rng.uniform(0.24, 0.42) * film * (0.85 + 0.3 * np.clip(blotches, -1, 1))
    layers.mask[rows, columns][(film > 0.5) & (layers.ground[rows, columns] < 0.3)] = 255


def _paint_scratch(
    layers: PaintedLayers,
    design: Design,
    ends: tuple[tuple[float, float], tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    """A bright groove with a dark flank, bent a little, its depth varying along its way."""
    side = design.side
    along = np.linspace(0, 1, 24)[:, None]
    start, end = np.array(ends[0]), np.array(ends[1])
    normal = np.array([start[1] - end[1], end[0] - start[0]])
    bend = rng.normal(0, 0.02)
    points = start + (end - start) * along + normal * bend * 4 * along * (1 - along)
    centre = (start + end) / 2
    reach = float(np.abs(end - start).max()) / 2 + 0.02 * side
    rows, columns, dx, dy = _window((float(centre[0]), float(centre[1])), reach, side)
    local = points - centre
    steps = np.diff(local, axis=0)
    px, py = dx[..., None] - local[:-1, 0], dy[..., None] - local[:-1, 1]
    share = np.clip((px * steps[:, 0] + py * steps[:, 1]) / np.maximum((steps**2).sum(1), 1e-9), 0, 1)
    gaps = np.hypot(px - share * steps[:, 0], py - share * steps[:, 1])
    nearest = gaps.argmin(axis=-1)
    distance = np.take_along_axis(gaps, nearest[..., None], -1)[..., 0]
    n_steps = len(steps)
    depth = np.interp(np.arange(n_steps), np.linspace(0, n_steps - 1, 6), rng.uniform(0.75, 1.2, 6))[nearest]
    width = rng.uniform(0.0032, 0.0042) * side
    groove = depth * np.exp(-((distance / width) ** 2))
    flank = depth * np.exp(-(((distance - 2.1 * width) / width) ** 2))
    seen = 1 - np.clip(layers.ground[rows, columns] * 4, 0, 1)
    layers.plate[rows, columns] += (0.36 * groove - 0.14 * flank) * seen
    np.clip(layers.plate[rows, columns], 0.01, 1.3, out=layers.plate[rows, columns])
    layers.mask[rows, columns][(distance < 1.3 * width) & (seen > 0.5)] = 255


def _close_hole(layers: PaintedLayers, design: Design, rng: np.random.Generator) -> None:
    """Put undrilled metal where one of the holes belongs."""
    x, y, radius = HOLES[int(rng.integers(len(HOLES)))]
    centre = ((x + 0.5) * design.side, (y + 0.5) * design.side)
    radius_px = radius * design.side
    rows, columns, dx, dy = _window(centre, 1.7 * radius_px, design.side)
    near = np.hypot(dx, dy) < 1.6 * radius_px
    for layer, undrilled in ((layers.plate, design.undrilled), (layers.ground, design.undrilled_ground)):
        layer[rows, columns] = np.where(near, undrilled[rows, columns], layer[rows, columns])
    layers.mask[rows, columns][np.hypot(dx, dy) <= radius_px] = 255
