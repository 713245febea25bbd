"""Refused records, whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from schemas.tables.base import NOW, Base


class DeadLetterRow(Base):
    """A refused record, whole: `value` holds its bytes, or `evidence` says where they are.

    `headers` is a list of `{"name": ..., "base64": ...}` in the original order; `base64` is null for a null header.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (Index("ix_dead_letter_at", "at"),)

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
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
    n_replays: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    replayed_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=NOW)
