"""Systematic defects, the root-cause agent's memory of each station, and what it has yet to publish."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from schemas.tables.base import NOW, SCHEMA, Base


class AlertRow(Base):
    """A systematic defect as it stands now; `rank` grows with `state` and never falls."""

    __tablename__ = "alert"
    __table_args__ = (
        CheckConstraint("state IN ('suspected', 'confirmed', 'acknowledged', 'cleared')", name="state"),
        Index("ix_alert_station_product", "station", "product"),
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    rank: Mapped[int] = mapped_column(Integer)
    rule: Mapped[str]
    cause: Mapped[str]
    station: Mapped[str]
    product: Mapped[str]
    region_x_px: Mapped[int] = mapped_column(Integer)
    region_y_px: Mapped[int] = mapped_column(Integer)
    region_w_px: Mapped[int] = mapped_column(Integer)
    region_h_px: Mapped[int] = mapped_column(Integer)
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
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WindowStateRow(Base):
    """The root-cause agent's memory of a station and product; `version` rises by one with every save."""

    __tablename__ = "window_state"

    station: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    state: Mapped[bytes]
    last_epoch: Mapped[str | None]
    last_sequence: Mapped[int | None]
    saved_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WindowSlotRow(Base):
    """One aligned frame of a window, in its slot of the ring; a save rewrites only the slots that changed."""

    __tablename__ = "window_slot"

    station: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)
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
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    sent_at: Mapped[datetime | None]
