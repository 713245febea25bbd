"""The pixels of a TIFF's first page, read strictly: a damaged or short block is an error, never zeros."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pipeline.tiff_codecs import TRUNCATED, unpack_lzw, unpack_packbits
from pipeline.tiff_header import TiffLayout

Samples = NDArray[np.uint8] | NDArray[np.uint16]


def read_tiff_pixels(picture: bytes, layout: TiffLayout) -> Samples:
    """(H, W) or (H, W, C) uint8 or uint16 as stored; a palette becomes (H, W, 3) RGB.

    Raises: ValueError when a block does not unpack to all of its pixels.
    """
    stored = np.dtype(np.uint8 if layout.bits == 8 else f"{layout.order}u2")
    pixels = np.empty((layout.height_px, layout.width_px, layout.n_samples), stored.newbyteorder("="))
    wide, high = layout.block_size_px
    across = -(-layout.width_px // wide)
    for i, (offset, n_bytes) in enumerate(layout.blocks):
        top, left = i // across * high, i % across * wide
        rows = high if layout.is_tiled else min(high, layout.height_px - top)
        needed = rows * wide * layout.n_samples * stored.itemsize
        longest = high * wide * layout.n_samples * stored.itemsize  # some writers pad the last strip
        raw = _unpack(picture[offset : offset + n_bytes], layout.compression, needed, longest)
        block = np.frombuffer(raw, stored, needed // stored.itemsize).reshape(rows, wide, layout.n_samples)
        if layout.is_differenced:
            block = np.cumsum(block, axis=1, dtype=pixels.dtype)
        place = pixels[top : top + high, left : left + wide]
        place[...] = block[: place.shape[0], : place.shape[1]]
    if layout.palette is not None:
        return np.asarray(layout.palette[pixels[:, :, 0]])
    return pixels[:, :, 0] if layout.n_samples == 1 else pixels


def _unpack(block: bytes, compression: str, needed: int, longest: int) -> bytes | NDArray[np.uint8]:
    if compression == "deflate":
        unpacked: bytes | NDArray[np.uint8] = _inflate(block, longest)
    elif compression == "none":
        unpacked = block
    else:
        unpack = unpack_lzw if compression == "LZW" else unpack_packbits
        out = np.empty(needed, np.uint8)
        n_written = unpack(np.frombuffer(block, np.uint8), out)
        if n_written < 0:
            raise ValueError(f"a {compression} block is {'cut short' if n_written == TRUNCATED else 'damaged'}")
        unpacked = out[:n_written]
    if len(unpacked) < needed:
        raise ValueError(f"a block unpacks to {len(unpacked)} of {needed} bytes: it was cut short")
    return unpacked


def _inflate(block: bytes, longest: int) -> bytes:
    """The whole stream, its checksum verified; at most `longest` bytes."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(block, longest + 1)
    except zlib.error as exc:
        raise ValueError(f"a deflate block is damaged: {exc}") from exc
    if not stream.eof:
        fault = "damaged: it unpacks to too much" if len(unpacked) > longest else "cut short"
        raise ValueError(f"a deflate block is {fault}")
    return unpacked
