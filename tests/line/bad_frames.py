"""Every bad or odd frame of docs/errors.md, and what must become of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Header = tuple[str, bytes]


@dataclass(frozen=True)
class Sent:
    """One record to send. `fate` is ``dead:<reason>``, or ``<outcome>`` / ``<outcome>:<reason>`` of its verdict."""

    name: str
    value: bytes
    headers: tuple[Header, ...]
    fate: str
    key: bytes | None = None


def headers(
    frame_id: str, station: str, content_type: str | None = "image/png", **more: str | None
) -> tuple[Header, ...]:
    """The required headers with `more` (``ce_`` names; None removes one)."""
    named: dict[str, str | None] = {
        "ce_specversion": "1.0",
        "ce_type": "sightline.frame.v1",
        "ce_id": frame_id,
        "ce_source": f"/{station}",
        "content-type": content_type,
        **more,
    }
    return tuple((name, text.encode()) for name, text in named.items() if text is not None)


def encode(picture: NDArray[np.generic], suffix: str = ".png") -> bytes:
    """`picture` as cv2 encodes it."""
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(picture))
    assert done
    return encoded.tobytes()


def decode_grey(png: bytes) -> NDArray[np.uint8]:
    """(H, W) uint8."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def png_claiming(width: int, height: int) -> bytes:
    """A small, well-formed PNG that decodes to width x height black pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeeze = zlib.compressobj(9)
    row = bytes(1 + width)
    body = io.BytesIO()
    for _ in range(height):
        body.write(squeeze.compress(row))
    body.write(squeeze.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body.getvalue()) + chunk(b"IEND", b"")


def bad_frames(good: bytes, station: str, product: str) -> Sequence[Sent]:
    """The list, made from one good PNG of the product at the station."""
    grey = decode_grey(good)
    jpeg = encode(grey, ".jpg")

    def sent(name: str, value: bytes, fate: str, content_type: str = "image/png", **more: str | None) -> Sent:
        given = {"ce_product": product, **more}
        return Sent(name, value, headers(f"bad-{name}", station, content_type, **given), fate)

    def headless(name: str, absent: str, reason: str = "missing_header") -> Sent:
        named = {"ce_product": product, absent: None}
        return Sent(name, good, headers(f"bad-{name}", station, **named), f"dead:{reason}", station.encode())

    large = np.tile(grey, (2, 2))
    return (
        sent("empty", b"", "dead:empty_value"),
        sent("truncated-jpeg", jpeg[: len(jpeg) // 2], "dead:corrupt_picture", "image/jpeg"),
        sent("truncated-png", good[: len(good) // 2], "dead:corrupt_picture"),
        sent("corrupt-png", good[:200] + bytes(200) + good[400:], "dead:corrupt_picture"),
        sent("text", b"this is no picture", "dead:content_type_mismatch"),
        sent("jpeg-called-png", jpeg, "dead:content_type_mismatch"),
        sent("pdf", b"%PDF-1.7", "dead:unsupported_content_type", "application/pdf"),
        headless("no-id", "ce_id"),
        headless("no-source", "ce_source"),
        headless("no-type", "ce_type"),
        headless("no-specversion", "ce_specversion"),
        headless("no-content-type", "content-type"),
        sent("old-specversion", good, "dead:malformed_header", ce_specversion="0.3"),
        sent("bad-source", good, "dead:malformed_header", ce_source="just-a-name"),
        sent("bad-sequence", good, "dead:malformed_header", ce_sequence="-4"),
        sent("bad-time", good, "dead:malformed_header", ce_time="yesterday"),
        sent("bad-parameters", good, "dead:malformed_header", ce_parameters="{"),
        sent("bomb", png_claiming(30_000, 30_000), "dead:decompression_bomb"),
        sent("claim-outside", b"", "dead:claim_missing", ce_dataref="file:///etc/passwd", ce_datasha256="0" * 64),
        Sent("wrong-key", good, headers("bad-wrong-key", station), "dead:key_mismatch", b"other/line/cam"),
        sent("sixteen-bit", encode(grey.astype(np.uint16) * 257), "pass"),
        sent("alpha", encode(cv2.cvtColor(cv2.merge([grey] * 3), cv2.COLOR_BGR2BGRA)), "pass"),
        sent("bmp", encode(grey, ".bmp"), "pass", "image/bmp"),
        sent("tiff", encode(grey, ".tif"), "pass", "image/tiff"),
        sent("wrong-size", encode(large), "uninspected:wrong_size"),
        sent("all-white", encode(np.full_like(grey, 255)), "uninspected:misaligned"),
        sent("unknown-product", good, "uninspected:no_recipe", ce_product="never-heard-of"),
        sent("clock-in-1970", good, "pass", ce_time="1970-01-01T00:00:00Z"),
        sent("sequence-9", good, "pass", ce_epoch="e", ce_sequence="9"),
        sent("sequence-back-to-3", good, "pass", ce_epoch="e", ce_sequence="3"),
        Sent("unknown-station", good, headers("bad-unknown-station", "x/y/z"), "uninspected:no_recipe"),
    )
