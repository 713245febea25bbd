"""Decode: the bytes a camera sent become grey and colour pixels, or a refusal. Never a guess.

Rules, the same for training, `inspect` and the line:
- Pixels are taken as sent: orientation tags, gamma and colour profiles are ignored, the first page counts.
- Alpha is dropped: the colour under it counts in full.
- 16-bit samples become 8-bit by ``v >> (significant_bits - 8)``, at most 255; the bits are a setting.
- Grey of a grey picture is its samples, of a colour JPEG the luma it stores, of any other colour picture
  0.299 R + 0.587 G + 0.114 B; it is the same whether colour is asked for or not.
- A JPEG whose decoder has anything to complain about is refused: no half picture is ever inspected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.picture_header import MalformedPictureError, PictureHeader, content_type_of, read_header
from pipeline.tiff_header import TiffLayout
from pipeline.tiff_pixels import Samples, read_tiff_pixels
from schemas.errors import DeadLetterReason, PoisonFrame

DEFAULT_MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class DecodeRules:
    """How to decode. `colour`: also give RGB. `max_pixels`: larger claims are bombs."""

    colour: bool = False
    significant_bits: int = 16
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """`grey` (H, W) uint8; `colour` (H, W, 3) uint8 RGB, None unless asked for."""

    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8] | None

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.grey.shape[1], self.grey.shape[0]


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
            return _decode_tiff(picture, header.tiff, rules)
        return (
            _decode_jpeg(picture, header, rules) if actual == "image/jpeg" else _decode_raster(picture, header, rules)
        )
    except MalformedPictureError as exc:
        raise PoisonFrame(DeadLetterReason.CORRUPT_PICTURE, str(exc)) from exc


def _decode_jpeg(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    grey = _jpeg_samples(picture, header, "GRAY")[:, :, 0]
    if not rules.colour:
        return Picture(grey, None)
    if header.n_channels == 1:
        return Picture(grey, np.repeat(grey[:, :, None], 3, axis=2))
    return Picture(grey, _jpeg_samples(picture, header, "RGB"))


def _jpeg_samples(picture: bytes, header: PictureHeader, space: str) -> NDArray[np.uint8]:
    try:
        pixels = simplejpeg.decode_jpeg(picture, space, strict=True)
    except ValueError as exc:
        raise MalformedPictureError(f"JPEG: {exc}") from exc
    _check_shape(pixels, header)
    return np.asarray(pixels, np.uint8)


def _decode_tiff(picture: bytes, layout: TiffLayout, rules: DecodeRules) -> Picture:
    try:
        pixels = read_tiff_pixels(picture, layout)
    except ValueError as exc:
        raise MalformedPictureError(f"TIFF: {exc}") from exc
    return _of_samples(pixels, rules)


def _decode_raster(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    """PNG, BMP."""
    try:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise MalformedPictureError(f"{header.content_type}: {exc.err or 'the decoder refused it'}") from exc
    if pixels is None:
        raise MalformedPictureError(f"{header.content_type}: the decoder refused it: damaged or cut short")
    _check_shape(pixels, header)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise MalformedPictureError(f"{header.content_type}: samples of type {pixels.dtype}; send 8 or 16 bits")
    samples = cast(Samples, pixels)
    return _of_samples(samples if samples.ndim == 2 else samples[:, :, 2::-1], rules)


def _of_samples(pixels: Samples, rules: DecodeRules) -> Picture:
    """From (H, W) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha."""
    if pixels.ndim == 2 or pixels.shape[2] <= 2:
        grey = _to_eight_bits(pixels if pixels.ndim == 2 else pixels[:, :, 0], rules.significant_bits)
        return Picture(grey, np.repeat(grey[:, :, None], 3, axis=2) if rules.colour else None)
    rgb = _to_eight_bits(pixels[:, :, :3], rules.significant_bits)
    return Picture(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), rgb if rules.colour else None)


def _to_eight_bits(pixels: Samples, significant_bits: int) -> NDArray[np.uint8]:
    """Contiguous uint8."""
    if pixels.dtype == np.uint16:
        return np.asarray(np.minimum(pixels >> (significant_bits - 8), 255), np.uint8)
    return np.ascontiguousarray(pixels, np.uint8)


def _check_shape(pixels: NDArray[np.generic], header: PictureHeader) -> None:
    if pixels.shape[:2] != (header.height_px, header.width_px):
        raise MalformedPictureError(
            f"it unpacked to {pixels.shape[1]}x{pixels.shape[0]} px, its header says "
            f"{header.width_px}x{header.height_px}"
        )
