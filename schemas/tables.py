"""The tables of schema `sightline`, column by column; deploy/migrations creates them, docs/sql.md explains them.

Identity lives in `frame`: one row per (station, frame_id). `verdict`, `defect` and `field_reading` are written in the
same transaction as the frame row they hang on, and only when that row was won, so they carry no foreign keys: old
months of `verdict` can be detached without a scan.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "sightline"
WRITER_ROLE = "sightline_writer"
READER_ROLE = "sightline_reader"

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
_NOW = text("now()")
_INT = Integer()


class Base(DeclarativeBase):
    """Text is `text`, times are `timestamptz`, whole numbers `bigint`, scores `double precision`."""

    metadata = MetaData(schema=SCHEMA, naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012  read by SQLAlchemy, as its documentation writes it
        str: Text(),
        int: BigInteger(),
        float: Double(),
        bytes: LargeBinary(),
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
    }


class Product(Base):
    """What is inspected; a row appears with the first recipe for it."""

    __tablename__ = "product"

    product: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Station(Base):
    """One camera position, `site/line/station`. A station that nobody registered is `unassigned`."""

    __tablename__ = "station"
    __table_args__ = (CheckConstraint("state IN ('unassigned', 'assigned')", name="state"),)

    station: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str]
    line: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="unassigned")
    product: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.product.product"))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class BundleRow(Base):
    """An engine bundle, named by the sha256 of its file; `ref` says where workers fetch it."""

    __tablename__ = "bundle"

    bundle_sha256: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    ref: Mapped[str]
    size_bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RecipeRow(Base):
    """One revision of what a station does with a product; the newest revision is in force, none is ever changed."""

    __tablename__ = "recipe"

    station: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.station.station"), primary_key=True)
    product: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.product.product"), primary_key=True)
    revision: Mapped[int] = mapped_column(_INT, primary_key=True)
    bundle_sha256: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.bundle.bundle_sha256"))
    threshold_review: Mapped[float]
    threshold_fail: Mapped[float]
    min_area_px: Mapped[int] = mapped_column(_INT)
    ignore_px: Mapped[list[Any]]
    deadline_ms: Mapped[float | None]
    pass_sample: Mapped[float]
    window: Mapped[dict[str, Any]]
    activated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    activated_by: Mapped[str] = mapped_column(server_default=text("current_user"))


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
    n_repeats: Mapped[int] = mapped_column(_INT, server_default=text("0"))
    recorded_at: Mapped[datetime] = mapped_column(server_default=_NOW)


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
    n_defects: Mapped[int] = mapped_column(_INT)
    alignment_status: Mapped[str]
    dx_px: Mapped[float | None]
    dy_px: Mapped[float | None]
    angle_deg: Mapped[float | None]
    residual: Mapped[float | None]
    gate_image: Mapped[float]
    gate_fields: Mapped[float]
    bundle_sha256: Mapped[str | None]
    recipe_revision: Mapped[int | None] = mapped_column(_INT)
    template_sha256: Mapped[str | None]
    backend: Mapped[str | None]
    precision: Mapped[str | None]
    version: Mapped[str]
    topic: Mapped[str | None]
    partition: Mapped[int | None] = mapped_column(_INT)
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
    recorded_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class DefectRow(Base):
    """A region above threshold; `x_px` .. `h_px` in the frame as sent, `template_*` on the template."""

    __tablename__ = "defect"

    verdict_id: Mapped[str] = mapped_column(primary_key=True)
    verdict_kind: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(_INT, primary_key=True)
    captured_at: Mapped[datetime]
    kind: Mapped[str]
    score: Mapped[float]
    area_px: Mapped[int]
    x_px: Mapped[int] = mapped_column(_INT)
    y_px: Mapped[int] = mapped_column(_INT)
    w_px: Mapped[int] = mapped_column(_INT)
    h_px: Mapped[int] = mapped_column(_INT)
    template_x_px: Mapped[int] = mapped_column(_INT)
    template_y_px: Mapped[int] = mapped_column(_INT)
    template_w_px: Mapped[int] = mapped_column(_INT)
    template_h_px: Mapped[int] = mapped_column(_INT)


class FieldReadingRow(Base):
    """One machine parameter of a frame; a number goes to `value_number`, anything else to `value_text`."""

    __tablename__ = "field_reading"

    verdict_id: Mapped[str] = mapped_column(primary_key=True)
    verdict_kind: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(_INT, primary_key=True)
    captured_at: Mapped[datetime]
    name: Mapped[str]
    value_number: Mapped[float | None]
    value_text: Mapped[str | None]
    unit: Mapped[str | None]
    confidence: Mapped[float]
    status: Mapped[str]


class AlertRow(Base):
    """A systematic defect as it stands now; `rank` grows with `state` and never falls."""

    __tablename__ = "alert"
    __table_args__ = (
        CheckConstraint("state IN ('suspected', 'confirmed', 'acknowledged', 'cleared')", name="state"),
        Index("ix_alert_station_product", "station", "product"),
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    rank: Mapped[int] = mapped_column(_INT)
    rule: Mapped[str]
    cause: Mapped[str]
    station: Mapped[str]
    product: Mapped[str]
    region_x_px: Mapped[int] = mapped_column(_INT)
    region_y_px: Mapped[int] = mapped_column(_INT)
    region_w_px: Mapped[int] = mapped_column(_INT)
    region_h_px: Mapped[int] = mapped_column(_INT)
    epoch: Mapped[str | None]
    first_sequence: Mapped[int]
    last_sequence: Mapped[int]
    n_frames: Mapped[int]
    hit_rate: Mapped[float]
    period: Mapped[int | None]
    statistic: Mapped[float]
    threshold: Mapped[float]
    arl0_frames: Mapped[float]
    frames: Mapped[list[Any]]
    gradient_map: Mapped[str | None]
    text: Mapped[str]
    at: Mapped[datetime]


class AlertEventRow(Base):
    """One change of state of an alert; each state is entered once. `who` and `note` when a person did it."""

    __tablename__ = "alert_event"

    alert_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.alert.alert_id"), primary_key=True)
    state: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    last_sequence: Mapped[int]
    n_frames: Mapped[int]
    statistic: Mapped[float]
    gradient_map: Mapped[str | None]
    text: Mapped[str]
    who: Mapped[str | None]
    note: Mapped[str | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class DeadLetterRow(Base):
    """A refused record, whole: `value` holds its bytes, or `evidence` says where they are.

    `headers` is a list of `{"name": ..., "base64": ...}` in the original order; `base64` is null for a null header.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (Index("ix_dead_letter_at", "at"),)

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(_INT, primary_key=True)
    offset: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]
    record_at: Mapped[datetime]
    key: Mapped[bytes | None]
    value: Mapped[bytes | None]
    evidence: Mapped[str | None]
    size_bytes: Mapped[int]
    headers: Mapped[list[Any]]
    n_replays: Mapped[int] = mapped_column(_INT, server_default=text("0"))
    replayed_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class WindowStateRow(Base):
    """The root-cause agent's memory of a station and product; `version` rises by one with every save."""

    __tablename__ = "window_state"

    station: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    state: Mapped[bytes]
    last_epoch: Mapped[str | None]
    last_sequence: Mapped[int | None]
    saved_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class WindowSlotRow(Base):
    """One aligned frame of a window, in its slot of the ring; a save rewrites only the slots that changed."""

    __tablename__ = "window_slot"

    station: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(_INT, primary_key=True)
    frame: Mapped[bytes]


class OutboxRow(Base):
    """A record to publish, committed with the change it tells of; `topic` is the name without its prefix."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unsent", "outbox_id", postgresql_where=text("sent_at IS NULL")),
        Index("ix_outbox_message_id", "message_id", unique=True),
    )

    outbox_id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    message_id: Mapped[str]
    topic: Mapped[str]
    key: Mapped[bytes]
    value: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    sent_at: Mapped[datetime | None]


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
    at: Mapped[datetime] = mapped_column(server_default=_NOW)
