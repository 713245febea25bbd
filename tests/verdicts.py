"""Builders of verdicts, alerts and dead letters for tests: valid by default, any field by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.alert import Alert, AlertState, Cause, alert_id
from schemas.deadletter import DeadLetter
from schemas.frame import Origin
from schemas.verdict import (
    Defect,
    FieldReading,
    FieldStatus,
    Outcome,
    Provenance,
    Reason,
    Thresholds,
    Verdict,
    verdict_id,
)

SHA = "ab" * 32
STATION = "lab/line1/cam0"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_verdict(frame_id: str = "frame-0", **changes: Any) -> Verdict:
    """A pass at STATION; `revision` and `bundle` make its verdict_id, every other name is a field of Verdict."""
    station = changes.get("station", STATION)
    revision, bundle = changes.pop("revision", 1), changes.pop("bundle", SHA)
    site, line, _ = station.split("/")
    fields: dict[str, Any] = {
        "verdict_id": verdict_id(station, frame_id, bundle, revision),
        "frame_id": frame_id,
        "unit_id": None,
        "lot": None,
        "site": site,
        "line": line,
        "station": station,
        "product": "plate",
        "captured_at": NOON,
        "decided_at": changes.get("captured_at", NOON) + timedelta(milliseconds=20),
        "epoch": "boot-1",
        "sequence": 1,
        "outcome": Outcome.PASS,
        "reason": None,
        "score": 0.1,
        "thresholds": Thresholds(review=0.4, fail=0.5),
        "provenance": Provenance(
            bundle_sha256=bundle,
            recipe_revision=revision,
            version="0.1.0",
            topic="sightline.frames",
            partition=changes.pop("partition", 3),
            offset=changes.pop("offset", 7),
        ),
    }
    return Verdict(**{**fields, **changes})


def a_defect(x: int = 40, y: int = 40, **changes: Any) -> Defect:
    """A 10 x 6 px defect whose box starts at (x, y) on the template."""
    fields: dict[str, Any] = {"bbox_px": (2 * x, 2 * y, 20, 12), "template_bbox_px": (x, y, 10, 6), "area_px": 60}
    return Defect(**{**fields, "score": 0.9, **changes})


def a_failed_verdict(frame_id: str = "frame-0", *defects: Defect, **changes: Any) -> Verdict:
    """A fail with `defects` (one by default)."""
    return a_verdict(frame_id, outcome=Outcome.FAIL, score=0.9, defects=defects or (a_defect(),), **changes)


def an_uninspected_verdict(frame_id: str = "frame-0", **changes: Any) -> Verdict:
    """A frame without a recipe."""
    fields: dict[str, Any] = {"score": None, "thresholds": None, "revision": None, "bundle": None}
    fields |= {"outcome": Outcome.UNINSPECTED, "reason": Reason.NO_RECIPE}
    return a_verdict(frame_id, **{**fields, **changes})


def a_reading(name: str = "force", value: float | str | None = 1.5, **changes: Any) -> FieldReading:
    fields: dict[str, Any] = {"unit": "N", "confidence": 0.9, "status": FieldStatus.READ}
    return FieldReading(name=name, value=value, **{**fields, **changes})


def an_alert(state: AlertState = AlertState.SUSPECTED, **changes: Any) -> Alert:
    """An alert at STATION whose run began with sequence 100."""
    station, first = changes.get("station", STATION), changes.get("first_sequence", 100)
    fields: dict[str, Any] = {
        "alert_id": alert_id(station, "plate", "cusum", "boot-1", first),
        "state": state,
        "rule": "cusum",
        "cause": Cause.FIXTURE,
        "station": station,
        "product": "plate",
        "region_px": (64, 32, 16, 8),
        "epoch": "boot-1",
        "first_sequence": first,
        "last_sequence": first + 3,
        "n_frames": 4,
        "hit_rate": 1.0,
        "statistic": 12.5,
        "threshold": 10.0,
        "arl0_frames": 1e6,
        "frames": ("frame-100", "frame-103"),
        "gradient_map": None,
        "text": "4 of 4 plates at lab/line1/cam0 are marked at x 64 y 32: look at the fixture.",
        "at": NOON,
    }
    return Alert(**{**fields, **changes})


def a_dead_letter(offset: int = 0, **changes: Any) -> DeadLetter:
    """A frame whose picture is corrupt."""
    fields: dict[str, Any] = {
        "key": STATION.encode(),
        "value": b"\xff\xd8\xff\x00broken",
        "headers": (("ce_id", b"frame-9"), ("raw", b"\x00\xfe"), ("ce_id", b"again"), ("none", None)),
        "reason": "corrupt_picture",
        "detail": "the JPEG ends after 9 bytes",
        "origin": Origin("sightline.frames", 2, offset, 1_760_000_000_000),
        "at": NOON,
    }
    return DeadLetter(**{**fields, **changes})
