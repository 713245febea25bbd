"""The demo's product and the simulated line that makes it: every unit a picture with a known truth.

Unit k of seed s is always the same picture, whatever was asked for before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate_defects import (
    RANDOM_KINDS,
    DefectKind,
    FixtureScratch,
    PaintedLayers,
    paint_defect,
    paint_fixture_scratch,
)
from pipeline.plate_design import GROUND_LEVEL, OVERSAMPLING, brushed_texture, render_design

__all__ = ["DefectKind", "FixtureScratch", "Pose", "SimulatedLine", "SimulatedUnit", "encode_png", "write_good_parts"]

PRODUCT = "plate"
UNITS_PER_LOT = 200
DEFAULT_SIZE_PX = 256
DEFAULT_DEFECT_RATE = 0.004
_GRAIN, _FULL_WELL, _READ_NOISE = 0.030, 9000.0, 1.1
_POSE_STREAM, _DEFECT_STREAM, _FIXTURE_STREAM, _NOISE_STREAM = range(4)


@dataclass(frozen=True, slots=True)
class Pose:
    """How a unit lies under the camera: motion of the plate's middle; angle positive counter-clockwise as seen."""

    dx_px: float
    dy_px: float
    angle_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedUnit:
    """One part as the camera sees it, and what is true of it.

    `picture` (S, S) uint8 grey. `mask` (S, S) bool, true where a fault is. `kinds`: the faults, empty when good.
    """

    index: int
    unit_id: str
    lot: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    kinds: tuple[DefectKind, ...]
    pose: Pose

    @property
    def good(self) -> bool:
        return not self.kinds


class SimulatedLine:
    """An endless line of plates; iterate over it, or ask for any unit by its number.

    Args:
        seed: which line; the same seed makes the same units on every run.
        size_px: side of the square pictures.
        defect_rate: share of units with one random fault.
        fixture: the scratch a worn fixture makes, or None.
        max_shift_px: largest shift of the plate along each axis; None for 1.5% of the side.
        max_angle_deg: largest turn of the plate either way.
    """

    product = PRODUCT

    def __init__(
        self,
        seed: int = 7,
        *,
        size_px: int = DEFAULT_SIZE_PX,
        defect_rate: float = DEFAULT_DEFECT_RATE,
        fixture: FixtureScratch | None = None,
        max_shift_px: float | None = None,
        max_angle_deg: float = 3.0,
    ) -> None:
        if size_px < 64 or not 0 <= defect_rate <= 1:
            raise ValueError(f"size_px {size_px} must be 64 or more and defect_rate {defect_rate} between 0 and 1")
        self.seed, self.size_px, self.defect_rate, self.fixture = seed, size_px, defect_rate, fixture
        self.max_shift_px = 0.015 * size_px if max_shift_px is None else max_shift_px
        self.max_angle_deg = max_angle_deg
        self._design = render_design(size_px)
        rng = np.random.default_rng([seed, 2**31])
        self._texture = np.tile(1 + _GRAIN * brushed_texture(self._design.side, rng), (2, 2))
        self._light = _light_field(size_px)
        self._ground = GROUND_LEVEL * (1 + 0.18 * _ground_texture(size_px, rng)) * self._light

    def __iter__(self) -> Iterator[SimulatedUnit]:
        index = 0
        while True:
            yield self.unit(index)
            index += 1

    def unit(self, index: int) -> SimulatedUnit:
        """Unit number `index` (from 0)."""
        pose, lamp, grain_at = self._draw_pose(index)
        kinds, layers = self._draw_defects(index)
        rows, columns = (slice(start, start + self._design.side) for start in grain_at)
        source = self._design if layers is None else layers
        textured = source.plate * (1 + self._design.grain * (self._texture[rows, columns] - 1))
        transform = self._transform(pose)
        plate = self._warp(textured, transform, 0.0)
        ground = self._warp(source.ground, transform, 1.0)
        light = lamp * (plate * self._light + ground * self._ground)
        mask = np.zeros((self.size_px, self.size_px), np.bool_)
        if layers is not None:
            mask = self._warp(layers.mask, transform, 0.0) > 127
        return SimulatedUnit(
            index=index,
            unit_id=f"PL{self.seed:03d}-{index:06d}",
            lot=f"L{self.seed:03d}-{index // UNITS_PER_LOT:04d}",
            picture=self._expose(light, index),
            mask=mask,
            kinds=kinds,
            pose=pose,
        )

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, stream])

    def _draw_pose(self, index: int) -> tuple[Pose, float, tuple[int, int]]:
        rng = self._rng(index, _POSE_STREAM)
        dx, dy = rng.uniform(-self.max_shift_px, self.max_shift_px, 2)
        pose = Pose(float(dx), float(dy), float(rng.uniform(-self.max_angle_deg, self.max_angle_deg)))
        row, column = rng.integers(0, self._design.side, 2)
        return pose, float(rng.normal(1, 0.012)), (int(row), int(column))

    def _draw_defects(self, index: int) -> tuple[tuple[DefectKind, ...], PaintedLayers | None]:
        rng, fixture_rng = self._rng(index, _DEFECT_STREAM), self._rng(index, _FIXTURE_STREAM)
        random_fault = rng.random() < self.defect_rate
        fixture = self.fixture
        hit = fixture is not None and index >= fixture.first_unit and fixture_rng.random() < fixture.hit_rate
        if not (random_fault or hit):
            return (), None
        layers, kinds = PaintedLayers.of(self._design), []
        if random_fault:
            kinds.append(RANDOM_KINDS[int(rng.integers(len(RANDOM_KINDS)))])
            paint_defect(kinds[0], layers, self._design, rng)
        if fixture is not None and hit:
            kinds.append(DefectKind.FIXTURE_SCRATCH)
            paint_fixture_scratch(fixture, layers, self._design, fixture_rng)
        return tuple(kinds), layers

    def _transform(self, pose: Pose) -> NDArray[np.float64]:
        """(2, 3) matrix from picture pixels to layer pixels, pixel centres at whole coordinates."""
        middle = (self.size_px - 1) / 2
        turn = np.deg2rad(pose.angle_deg)
        # y points down: a counter-clockwise turn as seen takes (x, y) to (x cos + y sin, -x sin + y cos); inverted here
        inverse = OVERSAMPLING * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        seen = np.array([middle + pose.dx_px, middle + pose.dy_px])
        offset = (self._design.side - 1) / 2 - inverse @ seen
        return np.hstack((inverse, offset[:, None]))

    def _warp(
        self, layer: NDArray[np.float32] | NDArray[np.uint8], transform: NDArray[np.float64], outside: float
    ) -> NDArray[np.float32]:
        warped = cv2.warpAffine(
            layer,
            transform,
            (self.size_px, self.size_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=outside,
        )
        return np.asarray(warped)

    def _expose(self, light: NDArray[np.float32], index: int) -> NDArray[np.uint8]:
        """Photons to 8-bit grey levels: shot noise of the signal, read noise of the sensor."""
        grain = self._rng(index, _NOISE_STREAM).standard_normal(light.shape, dtype=np.float32)
        deviation = np.sqrt(light * np.float32(255.0**2 / _FULL_WELL) + np.float32(_READ_NOISE**2))
        return np.asarray(cv2.convertScaleAbs(np.maximum(light * 255 + grain * deviation, 0)), np.uint8)


def encode_png(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """`picture` as PNG bytes, quickly rather than smallest."""
    done, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} and type {picture.dtype} cannot be written as PNG")
    return encoded.tobytes()


def write_good_parts(
    folder: Path, n: int, *, seed: int = 7, first_unit: int = 1_000_000, size_px: int = DEFAULT_SIZE_PX
) -> list[Path]:
    """Write `n` pictures of faultless plates as PNG files into `folder`; the paths, in order.

    They are the line's own parts, under its own camera, on its own conveyor, from `first_unit` on: far ahead, so
    that no part is both learnt from and inspected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    line = SimulatedLine(seed, size_px=size_px, defect_rate=0.0)
    paths = []
    for index in range(first_unit, first_unit + n):
        unit = line.unit(index)
        path = folder / f"{unit.unit_id}.png"
        path.write_bytes(encode_png(unit.picture))
        paths.append(path)
    return paths


def _light_field(size_px: int) -> NDArray[np.float32]:
    """(S, S) uneven light of one lamp at the upper left, fixed to the camera: a broad sheen and falling corners."""
    rows, columns = (np.mgrid[0:size_px, 0:size_px].astype(np.float32) + 0.5) / size_px - 0.5
    sheen = np.exp(-(((0.62 * columns + 0.78 * rows + 0.10) / 0.34) ** 2))
    corners = 1 - 0.55 * (columns**2 + rows**2)
    return np.asarray((0.72 + 0.48 * sheen - 0.10 * columns) * corners, np.float32)


def _ground_texture(size_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(S, S) mottled conveyor, zero mean, unit deviation."""
    fine = cv2.GaussianBlur(rng.standard_normal((size_px, size_px), dtype=np.float32), (0, 0), 1.2)
    coarse = cv2.GaussianBlur(rng.standard_normal((size_px, size_px), dtype=np.float32), (0, 0), size_px / 24)
    return np.asarray(0.6 * fine / fine.std() + 0.8 * coarse / coarse.std(), np.float32)
