"""Encoded pictures for tests, the odd ones written byte by byte."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".bmp": "image/bmp", ".tiff": "image/tiff"}
TIFF_COMPRESSIONS = {"none": 1, "LZW": 5, "deflate": 8, "PackBits": 32773}
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def grey_pixels(width: int = 72, height: int = 56, seed: int = 5) -> NDArray[np.uint8]:
    """(H, W) uint8 with texture and every value."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]


def rgb_pixels(width: int = 72, height: int = 56) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, three different planes."""
    return np.dstack([grey_pixels(width, height, seed) for seed in (5, 6, 7)])


def encode(extension: str, pixels: Any, *parameters: int) -> bytes:
    """`pixels` grey, RGB or RGB and alpha, encoded by OpenCV."""
    stored = pixels if pixels.ndim == 2 else pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]]
    ok, encoded = cv2.imencode(extension, np.ascontiguousarray(stored), list(parameters))
    assert ok
    return encoded.tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk with its true checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour_type: int, data: bytes, *extra: bytes) -> bytes:
    """A PNG of any claim; `data` is the IDAT content, compressed already."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_rows(pixels: NDArray[np.uint8]) -> bytes:
    """Unfiltered rows of an 8-bit picture, compressed."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], data: bytes, order: str = "<") -> bytes:
    """A TIFF with `data` at byte 8 and one directory: tag -> (3 SHORT or 4 LONG, values)."""
    at = 8 + len(data) + len(data) % 2
    entries, tail = b"", b""
    tail_at = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            place, tail = struct.pack(f"{order}I", tail_at + len(tail)), tail + packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return start + data + bytes(len(data) % 2) + directory + tail


def plain_tiff(pixels: Any, order: str = "<", **changes: tuple[int, tuple[int, ...]]) -> bytes:
    """An uncompressed one-strip TIFF of grey or RGB pixels; `changes` as ``t274=(3, (6,))``."""
    height, width = pixels.shape[:2]
    n_samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    bits = 8 * pixels.itemsize
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (bits,) * n_samples), 259: (3, (1,)),
        262: (3, (1 if n_samples < 3 else 2,)), 273: (4, (8,)), 277: (3, (n_samples,)), 278: (4, (height,)),
        279: (4, (len(data),)),
    }  # fmt: skip
    tags |= {int(name[1:]): value for name, value in changes.items()}
    return tiff(tags, data, order)
