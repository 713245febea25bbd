"""From an inspection to the verdict that is published; one way for the line and for `sightline inspect`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from pipeline.inspection import Inspection
from schemas.frame import Frame
from schemas.recipe import Recipe
from schemas.verdict import Alignment, FieldReading, Gate, Outcome, Provenance, Reason, TimingMs, Verdict, verdict_id


@dataclass(frozen=True, slots=True)
class DecidedBy:
    """The engine and moment of a decision; `queue_ms` is the wait between broker and worker."""

    decided_at: datetime
    version: str
    backend: str | None = None
    precision: str | None = None
    template_sha256: str | None = None
    queue_ms: float | None = None


def verdict_of(frame: Frame, product: str | None, recipe: Recipe, inspection: Inspection, by: DecidedBy) -> Verdict:
    """The verdict on an inspected frame; evidence references are added once they are stored."""
    took_ms = inspection.decode_ms + (inspection.read_ms or 0.0) + inspection.align_ms + inspection.localise_ms
    fused = inspection.fused
    total_ms = (by.queue_ms or 0.0) + took_ms + (fused.fuse_ms if fused else 0.0)
    return _verdict(
        frame,
        product,
        recipe,
        by,
        outcome=inspection.outcome,
        reason=inspection.reason,
        score=inspection.score,
        thresholds=recipe.thresholds,
        defects=tuple(inspection.defects),
        alignment=inspection.alignment,
        fields=inspection.fields,
        gate=fused.gate if fused else None,
        timing_ms=TimingMs(
            queue=by.queue_ms,
            decode=inspection.decode_ms,
            align=inspection.align_ms,
            localise=inspection.localise_ms,
            read=inspection.read_ms,
            fuse=fused.fuse_ms if fused else None,
            total=total_ms,
        ),
        late=_is_late(frame, recipe, by.decided_at),
    )


def verdict_without_recipe(frame: Frame, product: str | None, by: DecidedBy) -> Verdict:
    """The verdict `uninspected(no_recipe)` on a frame whose station has no recipe for its product."""
    return _verdict(
        frame,
        product,
        None,
        by,
        outcome=Outcome.UNINSPECTED,
        reason=Reason.NO_RECIPE,
        score=None,
        thresholds=None,
        timing_ms=TimingMs(queue=by.queue_ms, total=by.queue_ms),
    )


def is_sampled(frame_id: str, share: float) -> bool:
    """Whether this pass belongs to the sample kept as evidence; the same answer every time."""
    draw = int.from_bytes(hashlib.sha256(frame_id.encode()).digest()[:8], "big") / 2**64
    return draw < share


def _is_late(frame: Frame, recipe: Recipe, decided_at: datetime) -> bool:
    if recipe.deadline_ms is None:
        return False
    return (decided_at - frame.captured_at).total_seconds() * 1000 > recipe.deadline_ms


def _verdict(
    frame: Frame,
    product: str | None,
    recipe: Recipe | None,
    by: DecidedBy,
    *,
    outcome: Outcome,
    reason: Reason | None,
    score: float | None,
    thresholds: object,
    timing_ms: TimingMs,
    defects: tuple[object, ...] = (),
    fields: tuple[FieldReading, ...] = (),
    alignment: Alignment | None = None,
    gate: Gate | None = None,
    late: bool = False,
) -> Verdict:
    bundle = recipe.bundle_sha256 if recipe else None
    revision = recipe.revision if recipe else None
    origin = frame.origin
    return Verdict.model_validate(
        {
            "verdict_id": verdict_id(frame.station, frame.frame_id, bundle, revision),
            "frame_id": frame.frame_id,
            "unit_id": frame.unit_id,
            "lot": frame.lot,
            "site": frame.site,
            "line": frame.line,
            "station": frame.station,
            "product": product,
            "captured_at": frame.captured_at,
            "decided_at": by.decided_at,
            "epoch": frame.epoch,
            "sequence": frame.sequence,
            "outcome": outcome,
            "reason": reason,
            "score": score,
            "thresholds": thresholds,
            "defects": defects,
            "fields": fields,
            "alignment": alignment or Alignment(),
            "gate": gate or Gate(),
            "provenance": Provenance(
                bundle_sha256=bundle,
                recipe_revision=revision,
                template_sha256=by.template_sha256,
                backend=by.backend,
                precision=by.precision,
                version=by.version,
                topic=origin.topic if origin else None,
                partition=origin.partition if origin else None,
                offset=origin.offset if origin else None,
            ),
            "timing_ms": timing_ms,
            "late": late,
            "traceparent": frame.traceparent,
        }
    )
