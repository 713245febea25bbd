"""A verdict as rows: the columns of `verdict`, `defect` and `field_reading`, and the values for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agents.records.upsert import Row, storable
from schemas.tables import DefectRow, FieldReadingRow, VerdictKind, VerdictRow
from schemas.verdict import Verdict

VERDICT_COLUMNS = tuple(column.name for column in VerdictRow.__table__.columns if column.name != "recorded_at")
DEFECT_COLUMNS = tuple(column.name for column in DefectRow.__table__.columns)
FIELD_COLUMNS = tuple(column.name for column in FieldReadingRow.__table__.columns)


def verdict_row(verdict: Verdict, kind: VerdictKind, captured_at: datetime) -> Row:
    """Values of VERDICT_COLUMNS; `captured_at` is the frame's, whatever the verdict says."""
    thresholds, alignment, made, timing = verdict.thresholds, verdict.alignment, verdict.provenance, verdict.timing_ms
    return (
        verdict.verdict_id,
        kind.value,
        captured_at,
        storable(verdict.frame_id),
        storable(verdict.unit_id),
        storable(verdict.lot),
        storable(verdict.site),
        storable(verdict.line),
        storable(verdict.station),
        storable(verdict.product),
        verdict.decided_at,
        storable(verdict.epoch),
        verdict.sequence,
        verdict.outcome.value,
        verdict.reason.value if verdict.reason else None,
        verdict.score,
        thresholds.review if thresholds else None,
        thresholds.fail if thresholds else None,
        len(verdict.defects),
        alignment.status.value,
        alignment.dx_px,
        alignment.dy_px,
        alignment.angle_deg,
        alignment.residual,
        verdict.gate.image,
        verdict.gate.fields,
        made.bundle_sha256,
        made.recipe_revision,
        made.template_sha256,
        made.backend,
        made.precision,
        made.version,
        made.topic,
        made.partition,
        made.offset,
        timing.queue,
        timing.decode,
        timing.align,
        timing.localise,
        timing.read,
        timing.fuse,
        timing.total,
        verdict.late,
        storable(verdict.evidence.picture),
        storable(verdict.evidence.heat_map),
        storable(verdict.traceparent),
    )


def defect_rows(verdict: Verdict, kind: VerdictKind, captured_at: datetime) -> Iterator[Row]:
    """Values of DEFECT_COLUMNS, one row a defect, in the verdict's order."""
    for ordinal, defect in enumerate(verdict.defects):
        yield (
            verdict.verdict_id,
            kind.value,
            ordinal,
            captured_at,
            storable(defect.kind),
            defect.score,
            defect.area_px,
            *defect.bbox_px,
            *defect.template_bbox_px,
        )


def field_rows(verdict: Verdict, kind: VerdictKind, captured_at: datetime) -> Iterator[Row]:
    """Values of FIELD_COLUMNS, one row a field, in the verdict's order."""
    for ordinal, field in enumerate(verdict.fields):
        is_text = isinstance(field.value, str)
        yield (
            verdict.verdict_id,
            kind.value,
            ordinal,
            captured_at,
            storable(field.name),
            None if is_text else field.value,
            storable(field.value) if isinstance(field.value, str) else None,
            storable(field.unit),
            field.confidence,
            field.status.value,
        )
