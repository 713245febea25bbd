"""The drawing of the demo's product: a brushed, machined plate with holes, engraving and print, rendered once.

Lengths are fractions of the picture's side, so that one drawing serves every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]

OVERSAMPLING = 2
"""Layers hold this many pixels for each pixel of the finished picture, and are warped down from there."""

_HALF_WIDTH, _HALF_HEIGHT, _CORNER = 0.41, 0.33, 0.035
_BEVEL = 0.008
HOLES: tuple[tuple[float, float, float], ...] = (
    (-0.345, -0.265, 0.030),
    (0.345, -0.265, 0.030),
    (-0.345, 0.265, 0.030),
    (0.338, 0.258, 0.030),
    (-0.13, -0.255, 0.014),
    (0.13, -0.255, 0.014),
    (0.255, 0.015, 0.022),
    (0.355, 0.015, 0.014),
)
"""Drilled holes: x, y of the centre from the middle of the plate (x right, y down), radius."""
_POCKET = (-0.20, 0.0, 0.135)
_SLOT = (-0.06, 0.235, 0.14, 0.235, 0.022)
_FACE, _GROUND, _INK = 0.62, 0.075, 0.16
_CODE_MODULES = 12


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Layers of the plate, each (R, R) float32 with R = OVERSAMPLING * size_px.

    `plate`: light reflected, already multiplied by coverage. `ground`: share of the ground's light that is seen
    (0 under the plate, less than 1 in its shadow). `grain`: how strongly the brushed texture of a unit shows.
    `undrilled`, `undrilled_ground`: the same plate with no hole drilled, from which a missing hole is taken.
    `face`: 1 where a surface defect may lie.
    """

    size_px: int
    plate: Layer
    ground: Layer
    grain: Layer
    undrilled: Layer
    undrilled_ground: Layer
    face: NDArray[np.bool_]

    @property
    def side(self) -> int:
        """R, the pixels along a side of every layer."""
        return OVERSAMPLING * self.size_px


def render_design(size_px: int) -> Design:
    """Draw every layer of the plate for pictures of `size_px` x `size_px`; about 0.1 s at 256."""
    drilled, undrilled = _solid(size_px, drilled=True), _solid(size_px, drilled=False)
    plate, ground, grain = _render(drilled, size_px)
    undrilled_plate, undrilled_ground, _ = _render(undrilled, size_px)
    inner = cv2.distanceTransform((ground < 0.02).astype(np.uint8), cv2.DIST_L2, 5)
    face = inner > 0.02 * size_px * OVERSAMPLING
    return Design(size_px, plate, ground, grain, undrilled_plate, undrilled_ground, face)


def brushed_texture(side: int, rng: np.random.Generator) -> Layer:
    """Horizontal brush marks, (side, side) float32, zero mean, unit deviation."""
    fine = np.pad(rng.standard_normal((side, side), dtype=np.float32), side // 2, mode="wrap")
    inner = slice(side // 2, side // 2 + side)
    marks = cv2.GaussianBlur(fine, (0, 0), sigmaX=side / 22, sigmaY=0.8)[inner, inner]
    short = cv2.GaussianBlur(fine, (0, 0), sigmaX=side / 120, sigmaY=1.2)[inner, inner]
    mixed = marks / marks.std() + 0.6 * short / short.std()
    return np.asarray((mixed - mixed.mean()) / mixed.std(), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Solid:
    """Binary coverage and what is engraved, printed and turned into it, at the drawing's own resolution."""

    coverage: NDArray[np.uint8]
    engraved: NDArray[np.uint8]
    printed: NDArray[np.uint8]
    scale: float


def _point(x: float, y: float, scale: float) -> tuple[int, int]:
    return round((x + 0.5) * scale), round((y + 0.5) * scale)


def _solid(size_px: int, *, drilled: bool) -> _Solid:
    drawing = size_px * OVERSAMPLING * (2 if size_px <= 512 else 1)
    coverage = np.zeros((drawing, drawing), np.uint8)
    corner = round(_CORNER * drawing)
    x0, y0 = _point(-_HALF_WIDTH, -_HALF_HEIGHT, drawing)
    x1, y1 = _point(_HALF_WIDTH, _HALF_HEIGHT, drawing)
    cv2.rectangle(coverage, (x0 + corner, y0), (x1 - corner, y1), 255, -1)
    cv2.rectangle(coverage, (x0, y0 + corner), (x1, y1 - corner), 255, -1)
    for column, row in ((x0 + corner, y0 + corner), (x1 - corner, y0 + corner), (x0 + corner, y1 - corner)):
        cv2.circle(coverage, (column, row), corner, 255, -1)
    cut = np.array([(x1 - 3 * corner // 2, y1), (x1, y1 - 3 * corner // 2), (x1, y1)], np.int32)
    cv2.rectangle(coverage, (x1 - 2 * corner, y1 - 2 * corner), (x1, y1), 255, -1)
    cv2.fillPoly(coverage, [cut], 0)
    if drilled:
        for x, y, radius in HOLES:
            cv2.circle(coverage, _point(x, y, drawing), round(radius * drawing), 0, -1, cv2.LINE_AA)
    xa, ya, xb, yb, width = _SLOT
    cv2.line(coverage, _point(xa, ya, drawing), _point(xb, yb, drawing), 0, round(width * drawing), cv2.LINE_AA)
    return _Solid(coverage, _engraving(drawing), _print(drawing), float(drawing))


def _engraving(drawing: int) -> NDArray[np.uint8]:
    layer = np.zeros((drawing, drawing), np.uint8)
    x, y, radius = _POCKET
    cv2.circle(layer, _point(x, y, drawing), round(radius * drawing), 255, -1, cv2.LINE_AA)
    cv2.circle(layer, _point(x, y, drawing), round(0.55 * radius * drawing), 0, -1, cv2.LINE_AA)
    _write(layer, "B-4472", (0.03, -0.145), 0.062, 2.6)
    return layer


def _print(drawing: int) -> NDArray[np.uint8]:
    layer = np.zeros((drawing, drawing), np.uint8)
    _write(layer, "SIGHTLINE", (0.03, 0.125), 0.044, 2.0)
    _write(layer, "PLATE 7  REV C", (0.03, 0.175), 0.026, 1.3)
    module = round(0.0105 * drawing)
    left, top = _point(0.035, -0.075, drawing)
    code = np.random.default_rng(4472).random((_CODE_MODULES, _CODE_MODULES)) < 0.5
    code[:, 0] = code[-1, :] = True
    code[0, :] = np.arange(_CODE_MODULES) % 2 == 0
    code[:, -1] = np.arange(_CODE_MODULES) % 2 == 1
    block = np.kron(code.astype(np.uint8) * 255, np.ones((module, module), np.uint8))
    layer[top : top + block.shape[0], left : left + block.shape[1]] = block
    return layer


def _write(layer: NDArray[np.uint8], text: str, at: tuple[float, float], height: float, stroke: float) -> None:
    """Write `text` with its left base at `at`, capitals `height` high, `stroke` thousandths of the side thick."""
    drawing = layer.shape[0]
    font = cv2.FONT_HERSHEY_DUPLEX
    (_, capital), _ = cv2.getTextSize(text, font, 1.0, 1)
    size = height * drawing * 0.72 / capital
    thickness = max(1, round(stroke * drawing / 512))
    cv2.putText(layer, text, _point(*at, drawing), font, size, 255, thickness, cv2.LINE_AA)


def _render(solid: _Solid, size_px: int) -> tuple[Layer, Layer, Layer]:
    """Light the drawing from the upper left. Returns plate, ground and grain, (R, R) float32."""
    scale = solid.scale
    coverage = solid.coverage.astype(np.float32) / 255
    depth = cv2.distanceTransform((solid.coverage > 127).astype(np.uint8), cv2.DIST_L2, 5)
    bevel = _BEVEL * scale
    engraved = cv2.GaussianBlur(solid.engraved.astype(np.float32) / 255, (0, 0), 0.0022 * scale)
    height = np.minimum(depth, bevel) / bevel - 0.8 * engraved
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.0015 * scale)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    relief = (0.55 * slope_x + 0.83 * slope_y) * bevel
    printed = cv2.GaussianBlur(solid.printed.astype(np.float32) / 255, (0, 0), 0.0009 * scale)
    albedo = _FACE * (1 - 0.16 * engraved) + _turning_marks(solid)
    albedo = albedo * (1 - printed) + _INK * printed
    lit = np.clip(albedo * (1 + 0.75 * relief), 0.02, 1.25) * coverage
    shadow = cv2.GaussianBlur(
        np.roll(coverage, (round(0.012 * scale), round(0.009 * scale)), (0, 1)), (0, 0), 0.01 * scale
    )
    ground = (1 - coverage) * (1 - 0.75 * shadow)
    grain = coverage * (1 - 0.7 * printed) * (1 - 0.5 * engraved)
    side = size_px * OVERSAMPLING
    blur = 0.35 * OVERSAMPLING
    plate, below, marks = (
        cv2.GaussianBlur(cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA), (0, 0), blur)
        for layer in (lit, ground, grain)
    )
    return np.asarray(plate, np.float32), np.asarray(below, np.float32), np.asarray(marks, np.float32)


def _turning_marks(solid: _Solid) -> Layer:
    """Concentric tool marks in the pocket, brighter along the light."""
    x, y, radius = _POCKET
    rows, columns = np.mgrid[0 : solid.coverage.shape[0], 0 : solid.coverage.shape[1]].astype(np.float32)
    cx, cy = _point(x, y, solid.scale)
    dx, dy = (columns - cx) / solid.scale, (rows - cy) / solid.scale
    distance = np.hypot(dx, dy)
    streak = np.cos(2 * (np.arctan2(dy, dx) - 0.9))
    rings = 0.5 + 0.5 * np.cos(distance * 2 * np.pi / 0.0135)
    marks = 0.07 * streak + 0.035 * rings * (1 + streak)
    return np.asarray(np.where(distance < radius, marks, 0.0), np.float32)


GROUND_LEVEL = _GROUND
"""Light the ground under the plate reflects."""
