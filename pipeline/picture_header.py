"""What a picture's bytes claim, read before anything is decoded or allocated.

Each reader walks the file's own structure to its end, so that a file cut short is noticed here, and
returns the size it will unpack to. Sources: ITU T.81 (JPEG), PNG specification (third edition), TIFF 6.0,
Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from pipeline.tiff_header import TiffLayout, read_tiff_layout
from schemas.frame import MAGIC


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """Size and sample format of an encoded picture. `n_channels` counts alpha; a palette counts as 3."""

    content_type: str
    width_px: int
    height_px: int
    n_channels: int
    bits: int
    tiff: TiffLayout | None = None


class MalformedPictureError(ValueError):
    """The bytes do not form a whole picture of a kind Sightline reads; the message says why."""


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_JPEG_MAX_SCANS = 64
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def content_type_of(picture: bytes) -> str:
    """The content type the first bytes say. Raises: MalformedPictureError."""
    for content_type, starts in MAGIC.items():
        if picture.startswith(starts):
            return content_type
    known = ", ".join(kind.removeprefix("image/").upper() for kind in MAGIC)
    raise MalformedPictureError(f"begins with {picture[:8].hex(' ') or 'nothing'}, which is none of {known}")


def read_header(picture: bytes) -> PictureHeader:
    """The header of a whole picture. Raises: MalformedPictureError when it is cut short, damaged or unsupported."""
    content_type = content_type_of(picture)
    try:
        header = _READERS[content_type](picture)
    except (struct.error, IndexError) as exc:
        raise MalformedPictureError(f"the {content_type} ends after {len(picture)} bytes, within its header") from exc
    if header.width_px < 1 or header.height_px < 1:
        raise MalformedPictureError(f"its header says {header.width_px}x{header.height_px} px")
    return header


def _read_jpeg(picture: bytes) -> PictureHeader:
    """Walk the segments to the end-of-image marker."""
    header: PictureHeader | None = None
    at, n_scans = 2, 0
    while True:
        if picture[at] != 0xFF:
            raise MalformedPictureError(f"JPEG: byte {at} is {picture[at]:#04x} where a marker belongs")
        while picture[at] == 0xFF:
            at += 1
        marker = picture[at]
        at += 1
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            raise MalformedPictureError(f"JPEG: marker {marker:#04x} at byte {at} is out of place")
        (length,) = struct.unpack_from(">H", picture, at)
        if marker in _JPEG_OTHER_FRAMES:
            raise MalformedPictureError(f"JPEG: coding process {marker:#04x} is not read; send baseline or progressive")
        if marker in _JPEG_FRAMES:
            if header is not None:
                raise MalformedPictureError("JPEG: two frame headers")
            header = _jpeg_frame(picture, at)
        at += length
        if marker == 0xDA:
            n_scans += 1
            found = _JPEG_MARKER.search(picture, at)
            if found is None or n_scans > _JPEG_MAX_SCANS:
                raise MalformedPictureError(
                    f"JPEG: no end-of-image marker in {len(picture)} bytes: it was cut short"
                    if found is None
                    else f"JPEG: more than {_JPEG_MAX_SCANS} scans"
                )
            at = found.start()
    if header is None or not n_scans:
        raise MalformedPictureError("JPEG: it ends before any picture data")
    return header


def _jpeg_frame(picture: bytes, at: int) -> PictureHeader:
    bits, height, width, n_components = struct.unpack_from(">BHHB", picture, at + 2)
    if bits != 8 or n_components not in (1, 3):
        raise MalformedPictureError(
            f"JPEG: {n_components} components of {bits} bits; send 8-bit grey or colour (YCbCr or RGB)"
        )
    return PictureHeader("image/jpeg", width, height, n_components, bits)


def _read_png(picture: bytes) -> PictureHeader:
    """Walk the chunks to IEND, checking every checksum."""
    header: PictureHeader | None = None
    at, has_data = 8, False
    view = memoryview(picture)
    while True:
        length, kind = struct.unpack_from(">I4s", picture, at)
        end = at + 8 + length
        (checksum,) = struct.unpack_from(">I", picture, end)
        if zlib.crc32(view[at + 4 : end]) != checksum:
            raise MalformedPictureError(f"PNG: chunk {kind!r} at byte {at} does not match its checksum")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise MalformedPictureError("PNG: it does not begin with an IHDR chunk")
            header = _png_ihdr(picture, at + 8)
        elif kind == b"IDAT":
            has_data = True
        elif kind == b"IEND":
            break
        at = end + 4
    if not has_data:
        raise MalformedPictureError("PNG: it holds no picture data (IDAT)")
    return header


def _png_ihdr(picture: bytes, at: int) -> PictureHeader:
    width, height, bits, colour_type, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", picture, at)
    if colour_type not in _PNG_CHANNELS or bits not in (1, 2, 4, 8, 16) or compression or filtering or interlace > 1:
        raise MalformedPictureError(
            f"PNG: IHDR says colour type {colour_type}, {bits} bits, which is not a PNG picture"
        )
    return PictureHeader("image/png", width, height, _PNG_CHANNELS[colour_type], 16 if bits == 16 else 8)


def _read_bmp(picture: bytes) -> PictureHeader:
    """Uncompressed rows only, and all of them."""
    (data_at, info_bytes) = struct.unpack_from("<II", picture, 10)
    if info_bytes == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", picture, 18)
        compression = 0
    elif info_bytes in (40, 52, 56, 64, 108, 124):
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", picture, 18)
    else:
        raise MalformedPictureError(f"BMP: an info header of {info_bytes} bytes is unknown")
    if depth not in (8, 24, 32) or compression not in ((0, 3) if depth == 32 else (0,)):
        raise MalformedPictureError(
            f"BMP: {depth} bits a pixel, compression {compression}; send 8, 24 or 32 bits, none"
        )
    n_rows = abs(height)
    needed = data_at + (width * depth + 31) // 32 * 4 * n_rows
    if width > 0 and len(picture) < needed:
        raise MalformedPictureError(f"BMP: {len(picture)} of {needed} bytes: it was cut short")
    return PictureHeader("image/bmp", width, n_rows, depth // 8 if depth > 8 else 3, 8)


def _read_tiff(picture: bytes) -> PictureHeader:
    try:
        layout = read_tiff_layout(picture)
    except ValueError as exc:
        raise MalformedPictureError(f"TIFF: {exc}") from exc
    n_channels = 3 if layout.palette is not None else layout.n_samples
    return PictureHeader("image/tiff", layout.width_px, layout.height_px, n_channels, layout.bits, layout)


_READERS = {
    "image/jpeg": _read_jpeg,
    "image/png": _read_png,
    "image/bmp": _read_bmp,
    "image/tiff": _read_tiff,
}
