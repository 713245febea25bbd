"""An alert: one record per change of state of a systematic defect, `sightline.alert.v1`."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from schemas.times import Timestamp
from schemas.verdict import Box

ALERT_SCHEMA = "sightline.alert.v1"


class AlertState(StrEnum):
    """Lifecycle: suspected -> confirmed -> acknowledged -> cleared."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


class Cause(StrEnum):
    """Where to look for the root cause."""

    PRODUCT = "product"
    SENSOR = "sensor"
    FIXTURE = "fixture"
    PROCESS = "process"


class Alert(BaseModel):
    """One change of state of one alert; `region_px` in template coordinates."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_: str = Field(default=ALERT_SCHEMA, alias="schema", serialization_alias="schema")
    alert_id: str
    state: AlertState
    rule: str
    cause: Cause
    station: str
    product: str
    region_px: Box
    epoch: str | None = None
    first_sequence: int
    last_sequence: int
    n_frames: int
    hit_rate: float
    period: int | None = None
    statistic: float
    threshold: float
    arl0_frames: float
    frames: tuple[str, ...]
    gradient_map: str | None
    text: str
    at: Timestamp


def alert_id(station: str, product: str, rule: str, epoch: str | None, first_sequence: int) -> str:
    """Deterministic identity of an alert: who, which rule, since which frame."""
    identity = "\x1f".join((station, product, rule, epoch or "-", str(first_sequence)))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def encode_alert(alert: Alert) -> bytes:
    """JSON bytes as published on the alerts topic."""
    return alert.model_dump_json(by_alias=True).encode()


def decode_alert(value: bytes) -> Alert:
    """The alert in `value`. Raises: pydantic.ValidationError (a ValueError) naming the fields at fault."""
    return Alert.model_validate_json(value)
