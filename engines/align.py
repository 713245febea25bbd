"""Alignment of a frame onto its template: any angle, robust, to a fraction of a pixel, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_foreground import template_mask
from engines.align_kernels import correlation, refine, sample
from engines.align_levels import Level, build_level, halve, halve_mask
from engines.align_search import SearchBank, build_search, search
from engines.align_settings import AlignSettings
from engines.geometry import Pose, Size, Transform, apply, compose, invert, pose, resize_transform
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

__all__ = ["AlignSettings", "Aligner", "AlignmentResult"]

F32 = NDArray[np.float32]

_N_CANDIDATES = 6
_SLACK_PX = 0.8
_MOST_PIXELS = 16384
_FLAT_GREY = 1.5
_SMALLEST_PX = 8


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentResult:
    """Pose of the part in one frame.

    `transform` (2, 3) float64 takes template pixels to frame pixels. `dx_px`, `dy_px` (frame pixels) and
    `angle_deg` are as in `engines.geometry.Pose`. `residual` is 1 - normalised correlation over the part, 0 to 2.
    `inside` is the share of the part that lies in the frame, `sharpness` the frame's fine contrast against the
    template's (1.0: as sharp). `detail` says in words why a frame is misaligned; empty when it is aligned.
    """

    status: AlignmentStatus
    transform: Transform
    dx_px: float
    dy_px: float
    angle_deg: float
    residual: float
    detail: str
    scale: float = 1.0
    inside: float = 1.0
    sharpness: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """A refined pose in working pixels and how well it fits."""

    warp: Transform
    correlation: float
    inside: float
    sharpness: float


@dataclass(frozen=True, slots=True, eq=False)
class Aligner:
    """Everything computed from one template. `align` keeps no state and may be called from several threads."""

    settings: AlignSettings
    template_size: Size
    working_size: Size
    levels: tuple[Level, ...]
    """Finest first; empty when the settings say motion `none`."""
    bank: SearchBank
    part: F32
    """(4, n) x, y, template grey and fine contrast of every pixel of the part at working size."""
    mask: NDArray[np.bool_]
    """(H, W) the part's pixels on the template as given."""

    @classmethod
    def build(cls, template_grey: NDArray[np.uint8], settings: AlignSettings) -> Aligner:
        """Precompute for `template_grey` (H, W) uint8 at the model's working size; compiles the kernels.

        Raises: SetupError when the template is too small, blank, or its mask does not fit.
        """
        if template_grey.ndim != 2 or min(template_grey.shape) < 32:
            raise SetupError(f"template has shape {template_grey.shape}; a grey picture of at least 32x32 is needed")
        grey = template_grey.astype(np.float32)
        mask = template_mask(grey, settings)
        if float(grey[mask].std()) < _FLAT_GREY and settings.motion != "none":
            raise SetupError("the template is blank: its part shows no contrast to align by; choose another picture")
        size = (grey.shape[1], grey.shape[0])
        shrink = max(1.0, max(size) / settings.working_size_px)
        working = (round(size[0] / shrink), round(size[1] / shrink))
        if working != size:
            grey = np.asarray(cv2.resize(grey, working, interpolation=cv2.INTER_AREA), np.float32)
        work_mask = mask if working == size else _resize_mask(mask, working)
        aligner = cls(
            settings,
            size,
            working,
            _build_levels(grey, work_mask, settings),
            build_search(grey, work_mask, settings),
            _part_pixels(grey, work_mask),
            mask,
        )
        aligner.align(template_grey)  # compiles, or loads, the kernels: the first frame must not wait for that
        return aligner

    def align(self, grey: NDArray[np.uint8] | NDArray[np.uint16]) -> AlignmentResult:
        """Where the part lies in `grey` (h, w) uint8 or uint16, of any size.

        Never raises on a bad picture: the status is then `misaligned` and `detail` says what is wrong with it.
        """
        if grey.ndim != 2 or min(grey.shape) < _SMALLEST_PX:
            return self._refusal((1, 1), f"the picture has shape {grey.shape}: nothing can be aligned in it")
        frame_size = (grey.shape[1], grey.shape[0])
        frame = self._reduce(grey)
        spread = float(frame.std())
        if self.settings.motion == "none":
            return self._judge(self._measure(frame, resize_transform(self.working_size, self.working_size)), frame_size)
        if spread < _FLAT_GREY:
            seen = f"grey {frame.mean():.0f} of 255, spread {spread:.1f}"
            return self._refusal(frame_size, f"the picture is blank ({seen}): no part can be seen")
        fit = self._best_fit(frame)
        if fit is None:
            return self._refusal(frame_size, "no pose within the capture range fits the part at all")
        return self._judge(fit, frame_size)

    def _reduce(self, grey: NDArray[np.uint8] | NDArray[np.uint16]) -> F32:
        """`grey` at working size, (H, W) float32 in grey levels of 0 to 255."""
        if (grey.shape[1], grey.shape[0]) != self.working_size:
            shrinks = grey.shape[1] >= self.working_size[0] and grey.shape[0] >= self.working_size[1]
            grey = cv2.resize(grey, self.working_size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[assignment]
        frame = grey.astype(np.float32)
        return frame / np.float32(257.0) if grey.dtype == np.uint16 else frame

    def _best_fit(self, frame: F32) -> _Fit | None:
        pyramid = [frame]
        for _ in self.levels[1:]:
            pyramid.append(halve(pyramid[-1]))
        best: tuple[float, Transform] | None = None
        coarse = self.levels[-1]
        for start in search(self.bank, pyramid[-1], _N_CANDIDATES):
            warp = _refine_level(coarse, pyramid[-1], start, self.working_size, 10, 0.05)
            if warp is None:
                continue
            score = _level_correlation(coarse, pyramid[-1], warp, self.working_size)
            if best is None or score > best[0]:
                best = (score, warp)
        if best is None:
            return None
        warp = best[1]
        for level, image in zip(self.levels[-2::-1], pyramid[-2::-1], strict=True):
            finest = level is self.levels[0]
            refined = _refine_level(level, image, warp, self.working_size, 12, 0.002 if finest else 0.02)
            warp = warp if refined is None else refined
        return self._measure(frame, warp)

    def _measure(self, frame: F32, warp: Transform) -> _Fit:
        values, inside = np.empty(self.part.shape[1], np.float32), np.empty(self.part.shape[1], np.float32)
        n_inside = sample(frame, self.part[0], self.part[1], warp, values, inside)
        score = correlation(self.part[2], values, inside)
        fine = self.part[3] * inside
        own = float(fine @ self.part[2])
        spread_template, spread_frame = float(self.part[2].std()), float(values.std())
        sharpness = 0.0
        if own > 0 and spread_frame > 0 and score > 0:
            sharpness = float(fine @ values) / own * spread_template / (spread_frame * score)
        return _Fit(warp, score, n_inside / values.size, sharpness)

    def _judge(self, fit: _Fit, frame_size: Size) -> AlignmentResult:
        transform = compose(resize_transform(self.working_size, frame_size), fit.warp)
        transform = compose(transform, resize_transform(self.template_size, self.working_size))
        found = pose(transform, self.template_size, frame_size)
        detail = self._objection(fit, pose(fit.warp, self.working_size, self.working_size))
        status = AlignmentStatus.MISALIGNED if detail else AlignmentStatus.ALIGNED
        if self.settings.motion == "none" and not detail:
            status = AlignmentStatus.SKIPPED
        residual = 1.0 - fit.correlation
        return AlignmentResult(
            status,
            transform,
            found.dx_px,
            found.dy_px,
            found.angle_deg,
            residual,
            detail,
            found.scale,
            fit.inside,
            fit.sharpness,
        )

    def _objection(self, fit: _Fit, found: Pose) -> str:
        """Why this fit is refused; empty when it is not."""
        limits, residual = self.settings, 1.0 - fit.correlation
        cx, cy = float(self.part[0].mean()), float(self.part[1].mean())
        shift = float(np.abs(apply(fit.warp, np.array([cx, cy])) - (cx, cy)).max())
        reason = ""
        if fit.inside < limits.min_inside:
            reason = (
                f"{1 - fit.inside:.0%} of the part lies outside the picture (at most {1 - limits.min_inside:.0%} may)"
            )
        elif residual > limits.residual_limit:
            reason = f"residual {residual:.3f} exceeds the limit {limits.residual_limit:.3f}: not this part as trained"
        elif fit.sharpness < limits.sharpness_limit:
            reason = f"the picture is blurred: fine contrast {fit.sharpness:.0%}, wanted {limits.sharpness_limit:.0%}"
        elif limits.motion != "none" and abs(found.angle_deg) > limits.max_angle_deg + 1.0:
            reason = (
                f"the part is turned by {found.angle_deg:.1f} degrees; the capture range is {limits.max_angle_deg:.1f}"
            )
        elif limits.motion != "none" and shift > limits.max_shift_px + 2.0:
            reason = (
                f"the part has moved by {shift:.0f} template pixels; the capture range is {limits.max_shift_px:.0f}"
            )
        elif limits.motion in ("similarity", "affine") and abs(found.scale - 1.0) > limits.max_scale_change + 0.01:
            reason = (
                f"the part appears {found.scale:.3f} times its size; it may change by {limits.max_scale_change:.3f}"
            )
        return reason

    def _refusal(self, frame_size: Size, detail: str) -> AlignmentResult:
        nominal = resize_transform(self.template_size, frame_size)
        return AlignmentResult(AlignmentStatus.MISALIGNED, nominal, 0.0, 0.0, 0.0, 1.0, detail, 1.0, 0.0, 0.0)


def _resize_mask(mask: NDArray[np.bool_], size: Size) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5, np.bool_)


def _build_levels(grey: F32, mask: NDArray[np.bool_], settings: AlignSettings) -> tuple[Level, ...]:
    """Levels from working size down to about 64 pixels."""
    if settings.motion == "none":
        return ()
    levels = []
    full = (grey.shape[1], grey.shape[0])
    while True:
        height, width = grey.shape
        aspect = settings.pixel_aspect * (full[1] / height) / (full[0] / width)
        levels.append(build_level(grey, mask, settings.motion, aspect, _MOST_PIXELS))
        if max(height, width) <= 80:
            return tuple(levels)
        grey, mask = halve(grey), halve_mask(mask)


def _part_pixels(grey: F32, mask: NDArray[np.bool_]) -> F32:
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 2.0)
    ys, xs = np.nonzero(mask)
    fine_part = fine[mask] - fine[mask].mean()
    return np.ascontiguousarray(np.stack([xs, ys, grey[mask], fine_part]), np.float32)


def _to_level(warp: Transform, working: Size, level: Size) -> Transform:
    down = resize_transform(working, level)
    return np.ascontiguousarray(compose(down, compose(warp, invert(down))))


def _refine_level(
    level: Level, image: F32, warp: Transform, working: Size, steps: int, tolerance_px: float
) -> Transform | None:
    """`warp` (working pixels) after refinement at `level`; None when it cannot be refined there."""
    at_level = _to_level(warp, working, level.size)
    taken, _ = refine(
        image, level.xs, level.ys, level.regressors, level.steep, level.place, at_level, steps, tolerance_px, _SLACK_PX
    )
    return _to_level(at_level, level.size, working) if taken > 0 else None


def _level_correlation(level: Level, image: F32, warp: Transform, working: Size) -> float:
    values, inside = np.empty(level.xs.size, np.float32), np.empty(level.xs.size, np.float32)
    n_inside = sample(image, level.xs, level.ys, _to_level(warp, working, level.size), values, inside)
    return correlation(level.regressors[-2], values, inside) * (n_inside / level.xs.size)
