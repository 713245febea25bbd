"""What is inspected where, by which bundle, with which thresholds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from schemas.tables.base import NOW, SCHEMA, Base


class ProductRow(Base):
    """What is inspected; a row appears with the first recipe for it."""

    __tablename__ = "product"

    product: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class StationRow(Base):
    """One camera position, `site/line/station`. A station that nobody registered is `unassigned`."""

    __tablename__ = "station"
    __table_args__ = (CheckConstraint("state IN ('unassigned', 'assigned')", name="state"),)

    station: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str]
    line: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="unassigned")
    product: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.product.product"))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BundleRow(Base):
    """An engine bundle, named by the sha256 of its file; `ref` says where workers fetch it."""

    __tablename__ = "bundle"
    __table_args__ = (CheckConstraint("bundle_sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),)

    bundle_sha256: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    ref: Mapped[str]
    size_bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RecipeRow(Base):
    """One revision of what a station does with a product; the newest revision is in force, none is ever changed."""

    __tablename__ = "recipe"
    __table_args__ = (
        CheckConstraint("revision >= 1", name="revision"),
        CheckConstraint("threshold_review <= threshold_fail", name="thresholds"),
        CheckConstraint("min_area_px >= 1", name="min_area_px"),
        CheckConstraint("deadline_ms > 0", name="deadline_ms"),
        CheckConstraint("pass_sample BETWEEN 0 AND 1", name="pass_sample"),
    )

    station: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.station.station"), primary_key=True)
    product: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.product.product"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    bundle_sha256: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.bundle.bundle_sha256"))
    threshold_review: Mapped[float]
    threshold_fail: Mapped[float]
    min_area_px: Mapped[int] = mapped_column(Integer)
    ignore_px: Mapped[list[Any]]
    deadline_ms: Mapped[float | None]
    pass_sample: Mapped[float]
    window_settings: Mapped[dict[str, Any]]
    activated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    activated_by: Mapped[str] = mapped_column(server_default=text("current_user"))
