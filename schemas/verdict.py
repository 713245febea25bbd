"""A verdict: one per frame, `sightline.verdict.v1`."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from schemas.times import Timestamp

VERDICT_SCHEMA = "sightline.verdict.v1"


class Outcome(StrEnum):
    """What became of a frame."""

    PASS = "pass"
    FAIL = "fail"
    REVIEW = "review"
    UNINSPECTED = "uninspected"


class Reason(StrEnum):
    """Why an outcome is `review` or `uninspected`; explained in docs/errors.md."""

    LOW_CONFIDENCE = "low_confidence"
    MISALIGNED = "misaligned"
    NO_RECIPE = "no_recipe"
    WRONG_SIZE = "wrong_size"
    FIELDS_UNREADABLE = "fields_unreadable"


class AlignmentStatus(StrEnum):
    """Whether the frame was brought onto its template."""

    ALIGNED = "aligned"
    MISALIGNED = "misaligned"
    SKIPPED = "skipped"


class FieldStatus(StrEnum):
    """What became of one printed machine parameter."""

    READ = "read"
    MISSING = "missing"
    ABSTAINED = "abstained"
    OUT_OF_RANGE = "out_of_range"
    MISMATCH = "mismatch"


class _Json(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_enum_values=False)


Box = tuple[int, int, int, int]
"""x, y, w, h in pixels, origin top left."""


class Thresholds(_Json):
    """Scores from `review` upward are reviewed, from `fail` upward they fail."""

    review: float
    fail: float


class Defect(_Json):
    """A region of the score map above threshold; `bbox_px` in the frame as sent."""

    bbox_px: Box
    template_bbox_px: Box
    area_px: int
    score: float
    kind: str = "anomaly"


class Alignment(_Json):
    """Pose of the part in the frame against the template; `residual` is 1 - normalised correlation."""

    status: AlignmentStatus = AlignmentStatus.SKIPPED
    dx_px: float | None = None
    dy_px: float | None = None
    angle_deg: float | None = None
    residual: float | None = None


class FieldReading(_Json):
    """One machine parameter, read from the picture or sent digitally."""

    name: str
    value: float | str | None
    unit: str | None
    confidence: float
    status: FieldStatus


class Gate(_Json):
    """How far each modality was trusted; the weights sum to 1."""

    image: float = 1.0
    fields: float = 0.0


class Provenance(_Json):
    """Which code, model and record decided; null where no recipe applied or no record existed."""

    bundle_sha256: str | None = None
    recipe_revision: int | None = None
    template_sha256: str | None = None
    backend: str | None = None
    precision: str | None = None
    version: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


class TimingMs(_Json):
    """Milliseconds spent per step; null for a step that did not run."""

    queue: float | None = None
    decode: float | None = None
    align: float | None = None
    localise: float | None = None
    read: float | None = None
    fuse: float | None = None
    total: float | None = None


class Evidence(_Json):
    """References into the evidence store."""

    picture: str | None = None
    heat_map: str | None = None


class Verdict(_Json):
    """The decision on one frame."""

    schema_: str = Field(default=VERDICT_SCHEMA, alias="schema", serialization_alias="schema")
    verdict_id: str
    frame_id: str
    unit_id: str | None
    lot: str | None
    site: str
    line: str
    station: str
    product: str | None
    captured_at: Timestamp
    decided_at: Timestamp
    epoch: str | None
    sequence: int | None
    outcome: Outcome
    reason: Reason | None
    score: float | None
    thresholds: Thresholds | None
    defects: tuple[Defect, ...] = ()
    alignment: Alignment = Alignment()
    fields: tuple[FieldReading, ...] = ()
    gate: Gate = Gate()
    provenance: Provenance
    timing_ms: TimingMs = TimingMs()
    late: bool = False
    evidence: Evidence = Evidence()
    traceparent: str | None = None

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


def verdict_id(station: str, frame_id: str, bundle_sha256: str | None, recipe_revision: int | None) -> str:
    """The same for the same frame, engine and recipe revision, wherever and whenever it is decided."""
    identity = "\x1f".join((station, frame_id, bundle_sha256 or "-", str(recipe_revision or 0)))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def encode_verdict(verdict: Verdict) -> bytes:
    """JSON bytes as published on the verdicts topic."""
    return verdict.model_dump_json(by_alias=True).encode()


def decode_verdict(value: bytes) -> Verdict:
    """The verdict in `value`. Raises: pydantic.ValidationError (a ValueError) naming the fields at fault."""
    return Verdict.model_validate_json(value)
