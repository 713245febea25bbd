"""Alignment of a frame onto its template: any angle, robust, to a fraction of a pixel, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_foreground import template_trust
from engines.align_levels import edges, smooth
from engines.align_part import Fit, Part, build_part
from engines.align_pose import PoseFinder, build_pose_finder
from engines.align_settings import AlignSettings
from engines.geometry import Pose, Size, Transform, apply, compose, pose, resize_transform
from engines.imm_start import NetworkStart
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

__all__ = ["AlignSettings", "Aligner", "AlignmentResult"]

F32 = NDArray[np.float32]
Grey = NDArray[np.uint8] | NDArray[np.uint16]

_FLAT_GREY = 1.5
_SMALLEST_PX = 8
_USUAL_SHARE = 1 / 2.5
"""Of the residual's limit: what 99 of 100 good parts stay below (`engines.align_calibration.residual_limit`)."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentResult:
    """Pose of the part in one frame.

    `transform` (2, 3) float64 takes template pixels to frame pixels. `dx_px`, `dy_px` (frame pixels) and
    `angle_deg` are as in `engines.geometry.Pose`. `residual` is 1 - normalised correlation over the part, 0 to 2.
    `inside` is the share of the part that lies in the frame, `sharpness` the frame's detail against the
    template's (1.0: as sharp). `detail` says in words why a frame is misaligned; empty when it is not.
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
class Aligner:
    """Everything computed from one template. `align` keeps no state and may be called from several threads."""

    settings: AlignSettings
    template_size: Size
    working_size: Size
    finder: PoseFinder | None
    """None when the settings say motion `none`."""
    part: Part
    mask: NDArray[np.bool_]
    """(H, W) the part's pixels on the template as given."""
    network: NetworkStart | None = None
    """Gives the start when the settings say so."""

    @classmethod
    def build(cls, template_grey: NDArray[np.uint8], settings: AlignSettings, network: bytes | None = None) -> Aligner:
        """Precompute for `template_grey` (H, W) uint8 at the model's working size, and compile the kernels.

        Args: network: the matching network (ONNX), needed when `settings.start` is `network`.
        Raises: SetupError when the template is too small or blank, its mask does not fit, or the network is absent.
        """
        if template_grey.ndim != 2 or min(template_grey.shape) < 32:
            raise SetupError(f"template has shape {template_grey.shape}; a grey picture of at least 32x32 is needed")
        grey = template_grey.astype(np.float32)
        trust = template_trust(grey, settings)
        mask = trust >= 0.1
        if float(grey[mask].std()) < _FLAT_GREY and settings.motion != "none":
            raise SetupError("the template is blank: its part shows no contrast to align by; choose another picture")
        size = (grey.shape[1], grey.shape[0])
        shrink = max(1.0, max(size) / settings.working_size_px)
        working = (round(size[0] / shrink), round(size[1] / shrink))
        grey, trust = _resize(grey, working), _resize(trust, working)
        base = smooth(grey)
        finder = None if settings.motion == "none" else build_pose_finder(_view(base, settings), trust, settings)
        part, start = build_part(base, trust), _network_start(settings, network)
        aligner = cls(settings, size, working, finder, part, np.asarray(mask, np.bool_), start)
        aligner.align(template_grey)  # compiles, or loads, the last kernels: the first frame must not wait for that
        return aligner

    def align(self, grey: Grey) -> AlignmentResult:
        """Where the part lies in `grey` (h, w) uint8 or uint16, of any size.

        Never raises on a bad picture: the status is then `misaligned` and `detail` says what is wrong with it.
        """
        if grey.ndim != 2 or min(grey.shape) < _SMALLEST_PX:
            return self._refusal((1, 1), f"the picture has shape {grey.shape}: nothing can be aligned in it")
        if grey.dtype not in (np.uint8, np.uint16):  # a picture in floats may hold what is no number
            return self._refusal((1, 1), f"the picture is of type {grey.dtype}: 8 or 16 bits a pixel can be aligned")
        frame_size = (grey.shape[1], grey.shape[0])
        base = smooth(_resize(grey, self.working_size))
        if grey.dtype == np.uint16:
            base /= np.float32(257.0)
        nominal = resize_transform(self.working_size, self.working_size)
        if self.finder is None:
            return self._judge(nominal, self.part.measure(base, nominal), frame_size)
        deviation = float(cv2.meanStdDev(base)[1][0, 0])
        if deviation < _FLAT_GREY:
            seen = f"grey {base.mean():.0f} of 255, spread {deviation:.1f}"
            return self._refusal(frame_size, f"the picture is blank ({seen}): no part can be seen")
        view = _view(base, self.settings)
        found = self._from_network(self.finder, base, view)
        if found is None or 1.0 - found[1].correlation > _USUAL_SHARE * self.settings.residual_limit:
            searched = self.finder.find(view)
            fit = None if searched is None else self.part.measure(base, searched)
            if searched is not None and fit is not None and (found is None or fit.correlation > found[1].correlation):
                found = searched, fit
        if found is None:
            return self._refusal(frame_size, "no pose within the capture range fits the part at all")
        return self._judge(*found, frame_size)

    def _from_network(self, finder: PoseFinder, base: F32, view: F32) -> tuple[Transform, Fit] | None:
        """The pose refined from the network's start, and how it fits; None without a network.

        A residual beyond what good parts show has the frame searched as well: the network is quick, the search is sure.
        """
        start = None if self.network is None else self.network.start(base)
        found = None if start is None else finder.find(view, start)
        return None if found is None else (found, self.part.measure(base, found))

    def _judge(self, found: Transform, fit: Fit, frame_size: Size) -> AlignmentResult:
        transform = compose(resize_transform(self.working_size, frame_size), found)
        transform = compose(transform, resize_transform(self.template_size, self.working_size))
        moved = pose(transform, self.template_size, frame_size)
        detail = self._objection(found, fit, moved)
        status = AlignmentStatus.ALIGNED if self.finder else AlignmentStatus.SKIPPED
        return AlignmentResult(
            AlignmentStatus.MISALIGNED if detail else status,
            transform,
            moved.dx_px,
            moved.dy_px,
            moved.angle_deg,
            1.0 - fit.correlation,
            detail,
            moved.scale,
            fit.inside,
            fit.sharpness,
        )

    def _objection(self, found: Transform, fit: Fit, moved: Pose) -> str:
        """Why this fit is refused, in words; empty when it is not."""
        limits, residual = self.settings, 1.0 - fit.correlation
        shift = float(np.abs(apply(found, self.part.middle) - self.part.middle).max())
        moves, sizes = limits.motion != "none", limits.motion in ("similarity", "affine")
        out, out_most = 1 - fit.inside, 1 - limits.min_inside
        if out > out_most:
            return f"{out:.0%} of the part lies outside the picture (at most {out_most:.0%} may)"
        if residual > limits.residual_limit:
            return f"residual {residual:.3f} exceeds the limit {limits.residual_limit:.3f}: not this part as trained"
        if fit.sharpness < limits.sharpness_limit:
            seen, wanted = f"{fit.sharpness:.0%}", f"{limits.sharpness_limit:.0%}"
            return f"the picture is blurred: {seen} of the template's sharpness, {wanted} is needed"
        reason = ""
        if moves and abs(moved.angle_deg) > limits.max_angle_deg + 1.0:
            reason = f"turned by {moved.angle_deg:.1f} degrees; the capture range is {limits.max_angle_deg:.1f}"
        elif moves and shift > limits.max_shift_px + 2.0:
            reason = f"moved by {shift:.0f} template pixels; the capture range is {limits.max_shift_px:.0f}"
        elif sizes and abs(moved.scale - 1.0) > limits.max_scale_change + 0.01:
            reason = f"scaled by {moved.scale:.3f}; the capture range is 1 +- {limits.max_scale_change:.3f}"
        return reason and f"the part is {reason}"

    def _refusal(self, frame_size: Size, detail: str) -> AlignmentResult:
        nominal = resize_transform(self.template_size, frame_size)
        return AlignmentResult(AlignmentStatus.MISALIGNED, nominal, 0.0, 0.0, 0.0, 1.0, detail, 1.0, 0.0, 0.0)


def _view(base: F32, settings: AlignSettings) -> F32:
    """What of the smoothed picture `base` (H, W) is brought into register."""
    return edges(base) if settings.image == "edges" else base


def _network_start(settings: AlignSettings, network: bytes | None) -> NetworkStart | None:
    if settings.start == "search" or settings.motion == "none":
        return None
    if network is None:
        raise SetupError("alignment starts from the matching network, and there is none; train the bundle again")
    return NetworkStart.load(network, settings.pixel_aspect)


def _resize(grey: Grey | F32, size: Size) -> F32:
    """`grey` (h, w) at `size`, averaging where it shrinks; the same array when it has that size."""
    if (grey.shape[1], grey.shape[0]) == size:
        return grey  # type: ignore[return-value]
    shrinks = grey.shape[1] >= size[0] and grey.shape[0] >= size[1]
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]
