"""The first page of a TIFF, read from its directory before anything is decoded (TIFF 6.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_STRIP_OFFSETS, _SAMPLES, _STRIP_BYTES, _PLANAR, _SAMPLE_FORMAT = 273, 277, 279, 284, 339
_TILE_OFFSETS, _TILE_BYTES = 324, 325
_FORMATS = {1: "B", 3: "H", 4: "I"}
_COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
_MAX_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """Size and sample format of the first page. `orientation_at`: byte of the orientation's value, or None."""

    width_px: int
    height_px: int
    n_channels: int
    bits: int
    is_palette: bool
    order: str
    orientation_at: int | None


def read_tiff_layout(picture: bytes) -> TiffLayout:
    """The layout of a whole TIFF whose every strip or tile lies within the file.

    Raises: ValueError saying what is missing or not read; struct.error when the directory is cut off.
    """
    order = "<" if picture[:2] == b"II" else ">"
    entries = _directory(picture, order)
    width, height = _one(picture, order, entries, _WIDTH, None), _one(picture, order, entries, _HEIGHT, None)
    n_channels = _one(picture, order, entries, _SAMPLES, 1)
    bits = set(_values(picture, order, entries, _BITS) or (1,))
    if bits not in ({8}, {16}) or not 1 <= n_channels <= 4:
        raise ValueError(f"{n_channels} channels of {sorted(bits)} bits; send 1 to 4 channels of 8 or 16 bits")
    if set(_values(picture, order, entries, _SAMPLE_FORMAT) or (1,)) != {1}:
        raise ValueError("samples are not unsigned integers")
    photometric = _one(picture, order, entries, _PHOTOMETRIC, None)
    is_palette = photometric == 3
    if photometric not in (1, 2, 3) or (photometric == 2) != (n_channels >= 3) or (is_palette and bits != {8}):
        raise ValueError(
            f"photometric interpretation {photometric} with {n_channels} channels; send black-is-zero or RGB"
        )
    if n_channels > 1 and _one(picture, order, entries, _PLANAR, 1) != 1:
        raise ValueError("colour planes are stored apart; send interleaved samples")
    compression = _one(picture, order, entries, _COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise ValueError(f"compression {compression}; send none, LZW, deflate or PackBits")
    depth_bytes = max(bits) // 8
    needed = width * height * n_channels * depth_bytes if compression == 1 else 1
    _check_data(picture, order, entries, needed)
    orientation = entries.get(_ORIENTATION)
    return TiffLayout(
        width, height, 3 if is_palette else n_channels, max(bits), is_palette, order,
        orientation[2] if orientation else None,
    )  # fmt: skip


def _directory(picture: bytes, order: str) -> dict[int, tuple[int, int, int]]:
    """tag -> (type, count, byte at which its value or its offset stands) of the first page."""
    (at,) = struct.unpack_from(f"{order}I", picture, 4)
    (n_entries,) = struct.unpack_from(f"{order}H", picture, at)
    entries = {}
    for i in range(n_entries):
        tag, kind, count = struct.unpack_from(f"{order}HHI", picture, at + 2 + 12 * i)
        if tag in entries:
            raise ValueError(f"tag {tag} stands twice in the directory")
        entries[tag] = (kind, count, at + 2 + 12 * i + 8)
    return entries


def _values(picture: bytes, order: str, entries: dict[int, tuple[int, int, int]], tag: int) -> tuple[int, ...]:
    """The whole numbers of `tag`, () when it is absent."""
    if tag not in entries:
        return ()
    kind, count, at = entries[tag]
    if kind not in _FORMATS or not 1 <= count <= _MAX_VALUES:
        raise ValueError(f"tag {tag} holds {count} values of type {kind}")
    layout = struct.Struct(f"{order}{count}{_FORMATS[kind]}")
    if layout.size > 4:
        (at,) = struct.unpack_from(f"{order}I", picture, at)
    return layout.unpack_from(picture, at)


def _one(
    picture: bytes, order: str, entries: dict[int, tuple[int, int, int]], tag: int, default: int | None
) -> int:  # fmt: skip
    values = _values(picture, order, entries, tag)
    if not values and default is None:
        raise ValueError(f"tag {tag} is missing")
    return values[0] if values else int(default or 0)


def _check_data(picture: bytes, order: str, entries: dict[int, tuple[int, int, int]], needed_bytes: int) -> None:
    tags = (_TILE_OFFSETS, _TILE_BYTES) if _TILE_OFFSETS in entries else (_STRIP_OFFSETS, _STRIP_BYTES)
    offsets, sizes = (_values(picture, order, entries, tag) for tag in tags)
    if not offsets or len(offsets) != len(sizes):
        raise ValueError("it does not say where its pixels are")
    end = max(offset + size for offset, size in zip(offsets, sizes, strict=True))
    if end > len(picture):
        raise ValueError(f"pixels end at byte {end} of {len(picture)}: it was cut short")
    if sum(sizes) < needed_bytes:
        raise ValueError(f"{sum(sizes)} bytes of pixels where {needed_bytes} belong")
