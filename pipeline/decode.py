"""Decode: the bytes a camera sent become grey and colour pixels, or a refusal. Never a guess.

Rules, the same for training, `inspect` and the line:
- Pixels are taken as sent: orientation tags, gamma and colour profiles are ignored, the first page counts.
- Alpha is dropped: the colour under it counts in full.
- 16-bit samples become 8-bit by ``v >> (significant_bits - 8)``, at most 255; the bits are a setting.
- Grey of a grey picture is its samples; of a colour JPEG, when no colour is asked for, the luma it stores;
  of any other colour picture 0.299 R + 0.587 G + 0.114 B.
- A JPEG whose decoder has anything to complain about is refused: no half picture is ever inspected.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.picture_header import MalformedPictureError, PictureHeader, content_type_of, read_header
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
        return (
            _decode_jpeg(picture, header, rules) if actual == "image/jpeg" else _decode_raster(picture, header, rules)
        )
    except MalformedPictureError as exc:
        raise PoisonFrame(DeadLetterReason.CORRUPT_PICTURE, str(exc)) from exc


def _decode_jpeg(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    is_colour = header.n_channels == 3
    try:
        pixels = simplejpeg.decode_jpeg(picture, "RGB" if rules.colour and is_colour else "GRAY", strict=True)
    except ValueError as exc:
        raise MalformedPictureError(f"JPEG: {exc}") from exc
    _check_shape(pixels, header)
    if pixels.shape[2] == 1:
        grey = pixels[:, :, 0]
        return Picture(grey, np.repeat(pixels, 3, axis=2) if rules.colour else None)
    return Picture(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8), pixels)


def _decode_raster(picture: bytes, header: PictureHeader, rules: DecodeRules) -> Picture:
    """PNG, BMP, TIFF."""
    source = picture
    if header.tiff is not None and header.tiff.orientation_at is not None:
        at = header.tiff.orientation_at
        source = picture[:at] + struct.pack(f"{header.tiff.order}H", 1) + picture[at + 2 :]
    try:
        pixels = cv2.imdecode(np.frombuffer(source, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise MalformedPictureError(f"{header.content_type}: {exc.err or 'the decoder refused it'}") from exc
    if pixels is None:
        raise MalformedPictureError(f"{header.content_type}: the decoder refused it: damaged or cut short")
    _check_shape(pixels, header)
    eight = _to_eight_bits(pixels, rules.significant_bits)
    if eight.ndim == 2 or eight.shape[2] == 1:
        grey = eight.reshape(eight.shape[:2])
        return Picture(grey, np.repeat(grey[:, :, None], 3, axis=2) if rules.colour else None)
    bgr = eight[:, :, :3]
    grey = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    return Picture(grey, np.ascontiguousarray(bgr[:, :, ::-1]) if rules.colour else None)


def _to_eight_bits(pixels: NDArray[np.generic], significant_bits: int) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype != np.uint16:
        raise MalformedPictureError(f"samples of type {pixels.dtype}; send 8 or 16 bits")
    shifted = np.asarray(pixels, np.uint16) >> (significant_bits - 8)
    return np.asarray(np.minimum(shifted, 255), np.uint8)


def _check_shape(pixels: NDArray[np.generic], header: PictureHeader) -> None:
    if pixels.shape[:2] != (header.height_px, header.width_px):
        raise MalformedPictureError(
            f"it unpacked to {pixels.shape[1]}x{pixels.shape[0]} px, its header says "
            f"{header.width_px}x{header.height_px}"
        )
