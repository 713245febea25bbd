"""Decisions on frames: who was seen, what was decided, where the defects lie, what a person answered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from schemas.tables.base import NOW, Base


class VerdictKind(StrEnum):
    """Whether a verdict was decided on the line, or again later by another bundle or recipe."""

    LIVE = "live"
    REINSPECTION = "reinspection"


class FrameRow(Base):
    """The identity: the first live decision on (station, frame_id) stands; `n_repeats` counts the others."""

    __tablename__ = "frame"

    station: Mapped[str] = mapped_column(primary_key=True)
    frame_id: Mapped[str] = mapped_column(primary_key=True)
    verdict_id: Mapped[str]
    captured_at: Mapped[datetime]
    unit_id: Mapped[str | None]
    lot: Mapped[str | None]
    product: Mapped[str | None]
    epoch: Mapped[str | None]
    sequence: Mapped[int | None]
    n_repeats: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)


class VerdictRow(Base):
    """A decision on a frame: the live one, and each re-inspection. Partitioned by month of `captured_at` (UTC)."""

    __tablename__ = "verdict"
    __table_args__ = (
        CheckConstraint("kind IN ('live', 'reinspection')", name="kind"),
        CheckConstraint("outcome IN ('pass', 'fail', 'review', 'uninspected')", name="outcome"),
        Index("ix_verdict_station_captured_at", "station", "captured_at"),
        Index("ix_verdict_unit_id", "unit_id", postgresql_where=text("unit_id IS NOT NULL")),
        {"postgresql_partition_by": "RANGE (captured_at)"},
    )

    verdict_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    captured_at: Mapped[datetime] = mapped_column(primary_key=True)
    frame_id: Mapped[str]
    unit_id: Mapped[str | None]
    lot: Mapped[str | None]
    site: Mapped[str]
    line: Mapped[str]
    station: Mapped[str]
    product: Mapped[str | None]
    decided_at: Mapped[datetime]
    epoch: Mapped[str | None]
    sequence: Mapped[int | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    score: Mapped[float | None]
    threshold_review: Mapped[float | None]
    threshold_fail: Mapped[float | None]
    n_defects: Mapped[int] = mapped_column(Integer)
    alignment_status: Mapped[str]
    dx_px: Mapped[float | None]
    dy_px: Mapped[float | None]
    angle_deg: Mapped[float | None]
    residual: Mapped[float | None]
    gate_image: Mapped[float]
    gate_fields: Mapped[float]
    bundle_sha256: Mapped[str | None]
    recipe_revision: Mapped[int | None] = mapped_column(Integer)
    template_sha256: Mapped[str | None]
    backend: Mapped[str | None]
    precision: Mapped[str | None]
    version: Mapped[str]
    topic: Mapped[str | None]
    partition: Mapped[int | None] = mapped_column(Integer)
    offset: Mapped[int | None]
    queue_ms: Mapped[float | None]
    decode_ms: Mapped[float | None]
    align_ms: Mapped[float | None]
    localise_ms: Mapped[float | None]
    read_ms: Mapped[float | None]
    fuse_ms: Mapped[float | None]
    total_ms: Mapped[float | None]
    late: Mapped[bool]
    evidence_picture: Mapped[str | None]
    evidence_heat_map: Mapped[str | None]
    traceparent: Mapped[str | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)


class DefectRow(Base):
    """A region above threshold; `x_px` .. `h_px` in the frame as sent, `template_*` on the template."""

    __tablename__ = "defect"

    verdict_id: Mapped[str] = mapped_column(primary_key=True)
    verdict_kind: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    captured_at: Mapped[datetime]
    kind: Mapped[str]
    score: Mapped[float]
    area_px: Mapped[int]
    x_px: Mapped[int] = mapped_column(Integer)
    y_px: Mapped[int] = mapped_column(Integer)
    w_px: Mapped[int] = mapped_column(Integer)
    h_px: Mapped[int] = mapped_column(Integer)
    template_x_px: Mapped[int] = mapped_column(Integer)
    template_y_px: Mapped[int] = mapped_column(Integer)
    template_w_px: Mapped[int] = mapped_column(Integer)
    template_h_px: Mapped[int] = mapped_column(Integer)


class FieldReadingRow(Base):
    """One machine parameter of a frame; a number goes to `value_number`, anything else to `value_text`."""

    __tablename__ = "field_reading"

    verdict_id: Mapped[str] = mapped_column(primary_key=True)
    verdict_kind: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    captured_at: Mapped[datetime]
    name: Mapped[str]
    value_number: Mapped[float | None]
    value_text: Mapped[str | None]
    unit: Mapped[str | None]
    confidence: Mapped[float]
    status: Mapped[str]


class ReviewRow(Base):
    """A person's answer to a verdict; every answer is kept, the newest one counts."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("answer IN ('confirmed', 'false_call', 'escape')", name="answer"),
        Index("ix_review_verdict_id", "verdict_id"),
    )

    review_id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    verdict_id: Mapped[str]
    answer: Mapped[str]
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
