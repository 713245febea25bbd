"""One machine parameter of one frame, with why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.verdict import FieldReading, FieldStatus


@dataclass(frozen=True, slots=True)
class FieldValue:
    """`value` is None unless status is read, out_of_range or mismatch. `confidence` 0 to 1. `detail` is for people."""

    name: str
    value: float | str | None
    unit: str | None
    confidence: float
    status: FieldStatus
    detail: str = ""

    def reading(self) -> FieldReading:
        """As the verdict publishes it."""
        return FieldReading(
            name=self.name, value=self.value, unit=self.unit, confidence=self.confidence, status=self.status
        )
