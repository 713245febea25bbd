"""The first page of a TIFF, read from its directory before anything is decoded (TIFF 6.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 320, 322, 323, 324, 325, 339
_FORMATS = {1: "B", 3: "H", 4: "I"}
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
_MAX_VALUES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class TiffLayout:
    """Size, sample format and places of the blocks (strips or tiles, row by row) of the first page.

    `blocks` (byte offset, bytes) each; `block_size_px` (width, height) of a block: the last
    strip is cut to the picture, tiles (`is_tiled`) never are; `palette` (256, 3) uint8 RGB
    or None; `order` ``<`` or ``>``; `n_samples` counts alpha.
    """

    width_px: int
    height_px: int
    n_samples: int
    bits: int
    compression: str
    is_differenced: bool
    palette: NDArray[np.uint8] | None
    order: str
    is_tiled: bool
    block_size_px: tuple[int, int]
    blocks: tuple[tuple[int, int], ...]


def read_tiff_layout(picture: bytes) -> TiffLayout:
    """The layout of a whole TIFF whose every block lies within the file.

    Raises: ValueError saying what is missing or not read; struct.error when the directory is cut off.
    """
    tags = _Directory(picture)
    width, height = tags.one(_WIDTH), tags.one(_HEIGHT)
    n_samples, bits = tags.one(_SAMPLES, 1), set(tags.many(_BITS) or (1,))
    if bits not in ({8}, {16}) or not 1 <= n_samples <= 4:
        raise ValueError(f"{n_samples} channels of {sorted(bits)} bits; send 1 to 4 channels of 8 or 16 bits")
    if set(tags.many(_SAMPLE_FORMAT) or (1,)) != {1}:
        raise ValueError("its samples are not unsigned integers")
    photometric = tags.one(_PHOTOMETRIC)
    fits = {1: n_samples <= 2, 2: n_samples >= 3, 3: n_samples == 1 and bits == {8}}
    if not fits.get(photometric, False):
        raise ValueError(f"photometric {photometric} with {n_samples} channels; send black-is-zero, RGB or a palette")
    if n_samples > 1 and tags.one(_PLANAR, 1) != 1:
        raise ValueError("its colour planes are stored apart; send interleaved samples")
    compression, predictor = tags.one(_COMPRESSION, 1), tags.one(_PREDICTOR, 1)
    if compression not in COMPRESSIONS or predictor not in (1, 2) or tags.one(_FILL_ORDER, 1) != 1:
        raise ValueError(f"compression {compression}, predictor {predictor}; send none, LZW, deflate or PackBits")
    block_size, blocks = _blocks(tags, width, height)
    return TiffLayout(
        width_px=width,
        height_px=height,
        n_samples=n_samples,
        bits=max(bits),
        compression=COMPRESSIONS[compression],
        is_differenced=predictor == 2 and compression not in (1, 32773),
        palette=_palette(tags) if photometric == 3 else None,
        order=tags.order,
        is_tiled=_TILE_OFFSETS in tags,
        block_size_px=block_size,
        blocks=blocks,
    )


class _Directory:
    """Tags of the first page: tag -> (type, count, byte at which its value or its offset stands)."""

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self.order = "<" if picture[:2] == b"II" else ">"
        (at,) = struct.unpack_from(f"{self.order}I", picture, 4)
        (n_entries,) = struct.unpack_from(f"{self.order}H", picture, at)
        struct.unpack_from(f"{self.order}I", picture, at + 2 + 12 * n_entries)  # where the next page would be
        self._entries: dict[int, tuple[int, int, int]] = {}
        for i in range(n_entries):
            tag, kind, count = struct.unpack_from(f"{self.order}HHI", picture, at + 2 + 12 * i)
            if tag in self._entries:
                raise ValueError(f"tag {tag} stands twice in the directory")
            self._entries[tag] = (kind, count, at + 2 + 12 * i + 8)

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def many(self, tag: int) -> tuple[int, ...]:
        """The whole numbers of `tag`, () when it is absent."""
        if tag not in self._entries:
            return ()
        kind, count, at = self._entries[tag]
        if kind not in _FORMATS or not 1 <= count <= _MAX_VALUES:
            raise ValueError(f"tag {tag} holds {count} values of type {kind}")
        layout = struct.Struct(f"{self.order}{count}{_FORMATS[kind]}")
        if layout.size > 4:
            (at,) = struct.unpack_from(f"{self.order}I", self.picture, at)
        return layout.unpack_from(self.picture, at)

    def one(self, tag: int, default: int | None = None) -> int:
        """The first number of `tag`. Raises: ValueError when it is absent and has no default."""
        values = self.many(tag)
        if not values and default is None:
            raise ValueError(f"tag {tag} is missing")
        return values[0] if values else int(default or 0)


def _blocks(tags: _Directory, width: int, height: int) -> tuple[tuple[int, int], tuple[tuple[int, int], ...]]:
    """Size of a block and where each lies."""
    if width < 1 or height < 1:
        raise ValueError(f"its directory says {width}x{height} px")
    tiled = _TILE_OFFSETS in tags
    if tiled:
        size = (tags.one(_TILE_WIDTH), tags.one(_TILE_HEIGHT))
    else:
        size = (width, min(tags.one(_ROWS_PER_STRIP, height), height))
    offsets, sizes = (
        tags.many(_TILE_OFFSETS if tiled else _STRIP_OFFSETS),
        tags.many(_TILE_BYTES if tiled else _STRIP_BYTES),
    )
    if min(size) < 1 or size[0] * size[1] > max(1 << 22, 4 * width * height):
        raise ValueError(f"its blocks are {size[0]}x{size[1]} px")
    n_blocks = -(-width // size[0]) * -(-height // size[1])
    if len(offsets) != n_blocks or len(sizes) != n_blocks:
        raise ValueError(f"{n_blocks} blocks of pixels belong to it; it lists {len(offsets)}")
    end = max(offset + length for offset, length in zip(offsets, sizes, strict=True))
    if end > len(tags.picture):
        raise ValueError(f"its pixels end at byte {end} of {len(tags.picture)}: it was cut short")
    return size, tuple(zip(offsets, sizes, strict=True))


def _palette(tags: _Directory) -> NDArray[np.uint8]:
    colours = tags.many(_COLOUR_MAP)
    if len(colours) != 768:
        raise ValueError(f"its palette has {len(colours)} values; 768 belong there")
    return np.ascontiguousarray((np.array(colours, np.uint32).reshape(3, 256).T >> 8) & 255, np.uint8)
