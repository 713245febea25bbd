"""A frame message: CloudEvents 1.0, Kafka binding, binary mode, to and from a typed record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.errors import DeadLetterReason, PoisonFrame
from schemas.times import format_rfc3339, from_unix_ms, parse_rfc3339
from schemas.topics import MAX_MESSAGE_BYTES

FRAME_TYPE = "sightline.frame.v1"
SPEC_VERSION = "1.0"
MAGIC: Mapping[str, tuple[bytes, ...]] = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/bmp": (b"BM",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
}
"""First bytes of every picture format a camera may send, by content type."""

MAX_HEADER_BYTES = 1024
"""Station and frame id together must fit a key of the database's index (2704 bytes)."""

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record lies in Kafka; provenance only, never identity."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A machine parameter known digitally; `unit` is None when it has none."""

    value: float | str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim check: where a large picture lies and the sha256 (hex) it must have."""

    ref: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of one unit at one station, as the camera encoded it.

    `station` is the Kafka key ``site/line/station``. `picture` is empty when `claim` is set.
    """

    frame_id: str
    station: str
    content_type: str
    captured_at: datetime
    picture: bytes
    unit_id: str | None = None
    lot: str | None = None
    product: str | None = None
    epoch: str | None = None
    sequence: int | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    claim: Claim | None = None
    traceparent: str | None = None
    origin: Origin | None = None

    @property
    def site(self) -> str:
        return self.station.split("/", 2)[0]

    @property
    def line(self) -> str:
        return self.station.split("/", 2)[1]


def station_of_source(source: str) -> str:
    """``site/line/station`` from the CloudEvents source ``/site/line/station``.

    Raises: ValueError when the source has not three non-empty parts.
    """
    parts = source.removeprefix("/").split("/")
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"source {source!r} is not /site/line/station")
    return "/".join(parts)


def encode_headers(frame: Frame) -> list[tuple[str, bytes]]:
    """The Kafka headers of `frame`, as docs and foreign cameras write them."""
    named: dict[str, str | None] = {
        "ce_specversion": SPEC_VERSION,
        "ce_type": FRAME_TYPE,
        "ce_id": frame.frame_id,
        "ce_source": f"/{frame.station}",
        "content-type": frame.content_type,
        "ce_time": format_rfc3339(frame.captured_at),
        "ce_subject": frame.unit_id,
        "ce_lot": frame.lot,
        "ce_product": frame.product,
        "ce_epoch": frame.epoch,
        "ce_sequence": None if frame.sequence is None else str(frame.sequence),
        "ce_parameters": _encode_parameters(frame.parameters),
        "ce_dataref": frame.claim.ref if frame.claim else None,
        "ce_datasha256": frame.claim.sha256 if frame.claim else None,
        "ce_traceparent": frame.traceparent,
    }
    return [(name, text.encode()) for name, text in named.items() if text is not None]


def decode_frame(key: bytes | None, value: bytes | None, headers: Headers, origin: Origin) -> Frame:
    """The frame a Kafka record carries, checked as far as it can be without decoding the picture.

    Raises: PoisonFrame naming the header and value at fault.
    """
    texts = _header_texts(headers)
    _require(texts, "ce_specversion", SPEC_VERSION)
    _require(texts, "ce_type", FRAME_TYPE)
    frame_id = _present(texts, "ce_id")
    source = _present(texts, "ce_source")
    try:
        station = station_of_source(source)
    except ValueError as exc:
        raise _malformed("ce_source", source, "expected /site/line/station") from exc
    _check_key(key, station)
    content_type = _present(texts, "content-type").split(";")[0].strip().lower()
    if content_type not in MAGIC:
        known = ", ".join(MAGIC)
        raise PoisonFrame(
            DeadLetterReason.UNSUPPORTED_CONTENT_TYPE, f"content-type {content_type!r}; send one of {known}"
        )
    claim = _claim(texts)
    picture = bytes(value or b"")
    if claim is None:
        check_picture_bytes(picture, content_type)
    elif picture:
        raise _malformed("ce_dataref", claim.ref, "the value must be empty when the picture is elsewhere")
    return Frame(
        frame_id=frame_id,
        station=station,
        content_type=content_type,
        captured_at=_captured_at(texts, origin),
        picture=picture,
        unit_id=texts.get("ce_subject") or None,
        lot=texts.get("ce_lot") or None,
        product=texts.get("ce_product") or None,
        epoch=texts.get("ce_epoch") or None,
        sequence=_sequence(texts),
        parameters=_parameters(texts),
        claim=claim,
        traceparent=texts.get("ce_traceparent") or None,
        origin=origin,
    )


def check_picture_bytes(picture: bytes, content_type: str, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    """Refuse a picture that is empty, too large to travel, or not what its content type says.

    Raises: PoisonFrame.
    """
    if not picture:
        raise PoisonFrame(DeadLetterReason.EMPTY_VALUE, "the value is empty and no ce_dataref names a picture")
    if len(picture) > max_bytes:
        raise PoisonFrame(
            DeadLetterReason.OVERSIZED, f"{len(picture)} bytes; the limit is {max_bytes}: use a claim check"
        )
    if not picture.startswith(MAGIC[content_type]):
        raise PoisonFrame(
            DeadLetterReason.CONTENT_TYPE_MISMATCH,
            f"content-type says {content_type} but the value begins with {picture[:8].hex(' ')}",
        )


def _header_texts(headers: Headers) -> dict[str, str]:
    texts: dict[str, str] = {}
    for given_name, raw in headers:
        if raw is None:
            continue
        name = given_name.lower()
        if not (name.startswith("ce_") or name == "content-type"):
            continue
        try:
            text = bytes(raw).decode("utf-8")
        except UnicodeDecodeError as exc:
            raise _malformed(name, repr(bytes(raw)[:40]), "expected UTF-8 text") from exc
        if "\x00" in text or (len(raw) > MAX_HEADER_BYTES and name != "ce_parameters"):
            raise _malformed(name, text[:40], f"expected at most {MAX_HEADER_BYTES} bytes and no NUL")
        texts[name] = text
    return texts


def _present(texts: Mapping[str, str], name: str) -> str:
    text = texts.get(name, "").strip()
    if not text:
        raise PoisonFrame(DeadLetterReason.MISSING_HEADER, f"header {name} is required and absent or empty")
    return text


def _require(texts: Mapping[str, str], name: str, expected: str) -> None:
    text = _present(texts, name)
    if text != expected:
        raise _malformed(name, text, f"expected {expected}")


def _malformed(name: str, text: str, remedy: str) -> PoisonFrame:
    return PoisonFrame(DeadLetterReason.MALFORMED_HEADER, f"header {name} is {text[:200]!r}: {remedy}")


def _check_key(key: bytes | None, station: str) -> None:
    if key is not None and bytes(key).decode("utf-8", "replace") != station:
        raise PoisonFrame(
            DeadLetterReason.KEY_MISMATCH,
            f"key {bytes(key)[:200]!r} is not the station {station!r} that ce_source names: frames of one "
            "station need one key, or they lose their order",
        )


def _captured_at(texts: Mapping[str, str], origin: Origin) -> datetime:
    text = texts.get("ce_time")
    if not text:
        return from_unix_ms(max(origin.timestamp_ms, 0))
    try:
        return parse_rfc3339(text)
    except ValueError as exc:
        raise _malformed("ce_time", text, "expected an RFC 3339 time such as 2026-01-31T12:00:00Z") from exc


def _sequence(texts: Mapping[str, str]) -> int | None:
    text = texts.get("ce_sequence")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise _malformed("ce_sequence", text, "expected a whole number from 0 to 2^63-1")
    return int(text)


def _claim(texts: Mapping[str, str]) -> Claim | None:
    ref = texts.get("ce_dataref")
    if not ref:
        return None
    sha256 = _present(texts, "ce_datasha256").lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise _malformed("ce_datasha256", sha256, "expected 64 hexadecimal digits")
    return Claim(ref, sha256)


def _parameters(texts: Mapping[str, str]) -> dict[str, Parameter]:
    text = texts.get("ce_parameters")
    if not text:
        return {}
    shape = 'expected JSON {"name": {"value": 1.2, "unit": "N"}}'
    try:
        document = json.loads(text)
    except ValueError as exc:
        raise _malformed("ce_parameters", text, shape) from exc
    if not isinstance(document, dict):
        raise _malformed("ce_parameters", text, shape)
    return {name: _parameter(name, entry, shape) for name, entry in document.items()}


def _parameter(name: str, entry: object, shape: str) -> Parameter:
    if not isinstance(entry, dict) or "value" not in entry:
        raise _malformed("ce_parameters", f"{name}: {entry!r}", shape)
    value, unit = entry["value"], entry.get("unit")
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (is_number or isinstance(value, str)) or not (unit is None or isinstance(unit, str)):
        raise _malformed("ce_parameters", f"{name}: {entry!r}", shape)
    return Parameter(value if isinstance(value, str) else float(value), unit)


def _encode_parameters(parameters: Mapping[str, Parameter]) -> str | None:
    if not parameters:
        return None
    return json.dumps({name: {"value": p.value, "unit": p.unit} for name, p in parameters.items()})
