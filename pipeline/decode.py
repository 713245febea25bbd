"""Decode: the bytes a camera sent become grey and colour pixels, or a refusal. Never a guess.

Rules, the same for training, `inspect` and the line:
- Pixels are taken as sent: orientation tags, gamma and colour profiles are ignored, the first page counts.
- Alpha is dropped: the colour under it counts in full.
- 16-bit samples become 8-bit by ``v >> (significant_bits - 8)``, at most 255; the bits are a setting.
- Grey of a grey picture is its samples, of a colour JPEG the luma it stores, of any other colour picture
  0.299 R + 0.587 G + 0.114 B; it is the same whether colour is asked for or not.
- A JPEG whose decoder has anything to complain about is refused: no half picture is ever inspected.
- With a reduction of 2 or 4 each pixel stands for as many squared of the picture as sent: a JPEG by its decoder's
  scaled inverse transform, any other picture by the mean. A last column or row that is not whole repeats its edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from engines.geometry import Size, Transform
from engines.manifest import Reduction
from pipeline.picture_header import MalformedPictureError, PictureHeader, content_type_of, read_header
from pipeline.tiff_header import TiffLayout
from pipeline.tiff_pixels import Samples, read_tiff_pixels
from schemas.errors import DeadLetterReason, PoisonFrame

DEFAULT_MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class DecodeRules:
    """How to decode. `colour`: also give RGB. `max_pixels`: larger claims are bombs. `reduction`: 1, 2 or 4."""

    colour: bool = False
    significant_bits: int = 16
    max_pixels: int = DEFAULT_MAX_PIXELS
    reduction: Reduction = 1


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """`grey` (H, W) uint8; `colour` (H, W, 3) uint8 RGB, None unless asked for.

    `reduction`: pixels as sent, a side, for which each of these stands; `sent_px` (width, height) as sent, None when
    these are all.
    """

    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8] | None
    reduction: Reduction = 1
    sent_px: Size | None = None

    @property
    def size_px(self) -> Size:
        """(width, height) as sent."""
        return self.decoded_px if self.sent_px is None else self.sent_px

    @property
    def decoded_px(self) -> Size:
        """(width, height) of the pixels that are here."""
        return self.grey.shape[1], self.grey.shape[0]

    @property
    def to_sent(self) -> Transform:
        """(2, 3) float64, pixels that are here -> pixels as sent."""
        first = (self.reduction - 1) / 2
        return np.array([[self.reduction, 0.0, first], [0.0, self.reduction, first]])

    def shift_as_sent(self, dx_px: float, dy_px: float) -> tuple[float, float]:
        """A shift from the middle of these pixels, in them, as one from the middle of the picture as sent."""
        (width, height), (sent_width, sent_height) = self.decoded_px, self.size_px
        off_x, off_y = (self.reduction * width - sent_width) / 2, (self.reduction * height - sent_height) / 2
        return self.reduction * dx_px + off_x, self.reduction * dy_px + off_y


def decode(picture: bytes, content_type: str, rules: DecodeRules = DecodeRules()) -> Picture:
    """The pixels of `picture`, which its sender says is `content_type`.

    Raises: PoisonFrame (empty_value, content_type_mismatch, decompression_bomb, corrupt_picture).
    """
    if not picture:
        raise PoisonFrame(DeadLetterReason.EMPTY_VALUE, "the picture has no bytes")
    try:
        actual = content_type_of(picture)
        if actual != content_type:
            raise PoisonFrame(
                DeadLetterReason.CONTENT_TYPE_MISMATCH, f"content-type says {content_type}, the bytes are {actual}"
            )
        header = read_header(picture)
        if header.width_px * header.height_px > rules.max_pixels:
            raise PoisonFrame(
                DeadLetterReason.DECOMPRESSION_BOMB,
                f"{header.width_px}x{header.height_px} px would unpack; the limit is {rules.max_pixels} px",
            )
        if header.tiff is not None:
            return _decode_tiff(picture, header, header.tiff, rules)
        return (
            _decode_jpeg(picture, header, rules) if actual == "image/jpeg" else _decode_raster(picture, header, rules)
        )
    except MalformedPictureError as exc:
        raise PoisonFrame(DeadLetterReason.CORRUPT_PICTURE, str(exc)) from exc


def _decode_jpeg(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    grey = _jpeg_samples(picture, header, "GRAY", rules.reduction)[:, :, 0]
    colour = None
    if rules.colour and header.n_channels == 1:
        colour = np.repeat(grey[:, :, None], 3, axis=2)
    elif rules.colour:
        colour = _jpeg_samples(picture, header, "RGB", rules.reduction)
    return _picture(grey, colour, header, rules.reduction)


def _jpeg_samples(picture: bytes, header: PictureHeader, space: str, reduction: Reduction) -> NDArray[np.uint8]:
    """(h, w, C): the decoder takes the smallest of its scales that gives at least these sides, which is the one."""
    height, width = -(-header.height_px // reduction), -(-header.width_px // reduction)
    try:
        if reduction == 1:
            pixels = simplejpeg.decode_jpeg(picture, space, strict=True)
        else:
            pixels = simplejpeg.decode_jpeg(picture, space, strict=True, min_height=height, min_width=width)
    except ValueError as exc:
        raise MalformedPictureError(f"JPEG: {exc}") from exc
    _check_shape(pixels, width, height)
    return np.asarray(pixels, np.uint8)


def _decode_tiff(picture: bytes, header: PictureHeader, layout: TiffLayout, rules: DecodeRules) -> Picture:
    try:
        pixels = read_tiff_pixels(picture, layout)
    except ValueError as exc:
        raise MalformedPictureError(f"TIFF: {exc}") from exc
    return _of_samples(pixels, header, rules)


def _decode_raster(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    """PNG, BMP."""
    try:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise MalformedPictureError(f"{header.content_type}: {exc.err or 'the decoder refused it'}") from exc
    if pixels is None:
        raise MalformedPictureError(f"{header.content_type}: the decoder refused it: damaged or cut short")
    _check_shape(pixels, header.width_px, header.height_px)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise MalformedPictureError(f"{header.content_type}: samples of type {pixels.dtype}; send 8 or 16 bits")
    samples = cast(Samples, pixels)
    return _of_samples(samples if samples.ndim == 2 else samples[:, :, 2::-1], header, rules)


def _of_samples(pixels: Samples, header: PictureHeader, rules: DecodeRules) -> Picture:
    """From (H, W) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha."""
    if pixels.ndim == 2 or pixels.shape[2] <= 2:
        grey = _to_eight_bits(pixels if pixels.ndim == 2 else pixels[:, :, 0], rules.significant_bits)
        grey = reduced(grey, rules.reduction)
        colour = np.repeat(grey[:, :, None], 3, axis=2) if rules.colour else None
    else:
        rgb = reduced(_to_eight_bits(pixels[:, :, :3], rules.significant_bits), rules.reduction)
        grey, colour = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), rgb if rules.colour else None
    return _picture(grey, colour, header, rules.reduction)


def _picture(
    grey: NDArray[np.uint8], colour: NDArray[np.uint8] | None, header: PictureHeader, reduction: Reduction
) -> Picture:
    return Picture(grey, colour, reduction, None if reduction == 1 else (header.width_px, header.height_px))


def reduced(pixels: NDArray[np.uint8], reduction: Reduction) -> NDArray[np.uint8]:
    """`pixels` (H, W) or (H, W, C) with each square of `reduction` pixels a side in one, their mean.

    Returns: (ceil(H / reduction), ceil(W / reduction)), the edge repeated where a square is not whole.
    """
    if reduction == 1:
        return pixels
    height, width = pixels.shape[:2]
    below, beside = -height % reduction, -width % reduction
    if below or beside:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)
    size = (pixels.shape[1] // reduction, pixels.shape[0] // reduction)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _to_eight_bits(pixels: Samples, significant_bits: int) -> NDArray[np.uint8]:
    """Contiguous uint8."""
    if pixels.dtype == np.uint16:
        return np.asarray(np.minimum(pixels >> (significant_bits - 8), 255), np.uint8)
    return np.ascontiguousarray(pixels, np.uint8)


def _check_shape(pixels: NDArray[np.generic], width: int, height: int) -> None:
    if pixels.shape[:2] != (height, width):
        raise MalformedPictureError(
            f"it unpacked to {pixels.shape[1]}x{pixels.shape[0]} px, its header promised {width}x{height}"
        )
