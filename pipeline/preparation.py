"""From a decoded frame to what the model sees: align, one warp, three channels.

One way for all: training, calibration, evaluation, `inspect` and the line prepare their pictures here, so
the model is judged on what it was taught on. Frames may be decoded at a reduced scale; what comes out here, and all
that follows, is in pixels of the frame as sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align import Aligner
from engines.align_settings import AlignSettings
from engines.bundle import MATCHER, Bundle
from engines.geometry import Transform, compose, invert, resize_transform, warp_to_template
from engines.manifest import Reduction
from pipeline.decode import DEFAULT_MAX_PIXELS, DecodeRules, Picture
from pipeline.frame_edge import fill_outside
from schemas.verdict import Alignment, AlignmentStatus

Colour = Literal["grey", "rgb"]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A frame brought onto its template.

    `tensor` (3, H, W) uint8 RGB, the model's input; `grey` (H, W) uint8, the aligned picture; `valid` (H, W)
    bool, False where the frame did not reach, None where it reached everywhere; `transform` (2, 3) float64
    template px -> frame px. Template pixels outside the frame show the template itself.
    """

    tensor: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None
    transform: Transform

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, `tensor` as a picture."""
        return np.ascontiguousarray(self.tensor.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the part lies: as published, as a matrix (template px -> frame px), and why not, when it is refused."""

    alignment: Alignment
    transform: Transform
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """How one product's frames are prepared; built once, keeps no state between frames.

    `template` (H, W) grey or (H, W, 3) RGB uint8 at the model's input size; `aligner` None: only resized.
    """

    template: NDArray[np.uint8]
    colour: Colour
    decode_rules: DecodeRules
    aligner: Aligner | None

    @classmethod
    def build(
        cls,
        template: NDArray[np.uint8],
        colour: Colour,
        align: AlignSettings | None,
        significant_bits: int = 16,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        matcher: bytes | None = None,
        reduction: Reduction = 1,
    ) -> Preparation:
        """Precompute everything the template decides; `template` of `colour` ``rgb`` is (H, W, 3).

        Args: matcher: the matching network (ONNX), where the alignment starts from it. reduction: of decoding.
        """
        wanted = 3 if colour == "rgb" else 2
        if template.ndim != wanted:
            raise ValueError(f"template has shape {template.shape}; colour {colour!r} needs {wanted} dimensions")
        grey = np.asarray(cv2.cvtColor(template, cv2.COLOR_RGB2GRAY), np.uint8) if wanted == 3 else template
        aligner = None if align is None else Aligner.build(np.ascontiguousarray(grey), align, matcher)
        return cls(template, colour, DecodeRules(colour == "rgb", significant_bits, max_pixels, reduction), aligner)

    @classmethod
    def of_bundle(cls, bundle: Bundle, max_pixels: int = DEFAULT_MAX_PIXELS) -> Preparation:
        """The preparation a bundle's manifest asks for."""
        manifest = bundle.manifest
        template = bundle.template() if manifest.colour == "rgb" else bundle.template_grey()
        if manifest.colour == "rgb" and template.ndim == 2:
            template = np.repeat(template[:, :, None], 3, axis=2)
        bits, matcher = manifest.significant_bits, bundle.members.get(MATCHER)
        reduction = manifest.decode_reduction
        return cls.build(template, manifest.colour, manifest.align, bits, max_pixels, matcher, reduction)

    @property
    def input_size_px(self) -> tuple[int, int]:
        """(W, H) of the template."""
        return self.template.shape[1], self.template.shape[0]

    def align(self, picture: Picture) -> Placed:
        """Where the part lies, in pixels as sent. A refusal is `misaligned`; never raises on a bad picture."""
        if self.aligner is None:
            return Placed(Alignment(), resize_transform(self.input_size_px, picture.size_px), "")
        found = self.aligner.align(picture.grey)
        dx_px, dy_px, transform = found.dx_px, found.dy_px, found.transform
        if picture.reduction > 1:
            transform = compose(picture.to_sent, transform)
            dx_px, dy_px = picture.shift_as_sent(dx_px, dy_px)
        published = Alignment(
            status=found.status,
            dx_px=dx_px,
            dy_px=dy_px,
            angle_deg=found.angle_deg,
            residual=found.residual,
        )
        return Placed(published, transform, found.detail)

    def warp(self, picture: Picture, transform: Transform) -> Prepared:
        """Resample the whole frame onto the template, once; `transform` takes template px to frame px as sent."""
        source = picture.colour if picture.colour is not None else picture.grey
        to_source = transform if picture.reduction == 1 else compose(invert(picture.to_sent), transform)
        pixels = np.ascontiguousarray(warp_to_template(source, to_source, self.input_size_px), np.uint8)
        valid = fill_outside(pixels, self.template, transform, picture.size_px)
        if pixels.ndim == 2:
            return Prepared(np.broadcast_to(pixels, (3, *pixels.shape)), pixels, valid, transform)
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        return Prepared(pixels.transpose(2, 0, 1), grey, valid, transform)

    def prepare(self, picture: Picture) -> tuple[Placed, Prepared | None]:
        """`align`, then `warp`; None in place of the picture when it is misaligned."""
        placed = self.align(picture)
        if placed.alignment.status is AlignmentStatus.MISALIGNED:
            return placed, None
        return placed, self.warp(picture, placed.transform)
