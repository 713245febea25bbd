"""The inspect agent: every frame becomes exactly one verdict or one dead letter."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agents.ack import Progress, Record
from agents.dead_letter_office import DeadLetterOffice
from agents.engine_child import MadeBy
from agents.engine_pool import EnginePool, Inspected
from agents.evidence import EvidenceKeeper, persistently, suffix_of
from agents.live_recipes import LiveRecipes
from agents.outlet import Outgoing, Outlet
from pipeline.inspection import Inspection, InspectionRequest, Refusal
from pipeline.process_signals import signals_of
from pipeline.verdicts import DecidedBy, is_sampled, verdict_of, verdict_without_recipe
from schemas.aligned import AlignedFrame, AlignedHeader, encode_aligned
from schemas.deadletter import dead_letter
from schemas.errors import DeadLetterReason, PoisonFrame, TransientError
from schemas.frame import Frame, check_picture_bytes, decode_frame
from schemas.recipe import Recipe
from schemas.store import redeem_claim
from schemas.topics import MAX_CLAIMED_PICTURE_BYTES, Topics
from schemas.verdict import Evidence, Outcome, Verdict, encode_verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Where claim checks may point, and how large a claimed picture may be."""

    roots: tuple[str, ...]
    max_bytes: int = MAX_CLAIMED_PICTURE_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One record's fate: a verdict (with what it was made from) or poison."""

    frame: Frame | None = None
    verdict: Verdict | None = None
    inspection: Inspection | None = None
    made_by: MadeBy | None = None
    recipe: Recipe | None = None
    poison: PoisonFrame | None = None


@dataclass(frozen=True, slots=True)
class InspectParts:
    """What the composition root hands to the agent."""

    topics: Topics
    recipes: LiveRecipes
    pool: EnginePool
    outlet: Outlet
    evidence: EvidenceKeeper
    office: DeadLetterOffice
    claims: ClaimRules
    progress: Progress
    version: str


class InspectWork:
    """`prepare` decides, `settle` stores evidence and publishes."""

    def __init__(self, parts: InspectParts) -> None:
        self._parts = parts

    async def prepare(self, records: Sequence[Record]) -> list[Decision]:
        """Decode, look up recipes, inspect in the engine processes; order kept."""
        arrived_ms = time.time() * 1000
        decisions: list[Decision] = [Decision()] * len(records)
        batches: dict[Recipe, list[int]] = defaultdict(list)
        frames: dict[int, Frame] = {}
        for index, record in enumerate(records):
            try:
                frame = decode_frame(record.key, record.value, record.headers, record.origin)
                frames[index] = frame if frame.claim is None else await self._redeem(frame)
            except PoisonFrame as poison:
                decisions[index] = Decision(poison=poison)
                continue
            product, recipe = await self._parts.recipes.lookup(frame.station, frame.product)
            if recipe is None:
                by = DecidedBy(_now(), self._parts.version, queue_ms=_waited_ms(record, arrived_ms))
                decisions[index] = Decision(frame=frame, verdict=verdict_without_recipe(frame, product, by))
            else:
                batches[recipe].append(index)
        for recipe, indices in batches.items():
            for index, inspected in zip(
                indices, await self._inspect(recipe, [frames[index] for index in indices]), strict=True
            ):
                waited_ms = _waited_ms(records[index], arrived_ms)
                decisions[index] = self._decide(frames[index], recipe, inspected, waited_ms)
        return decisions

    async def settle(self, records: Sequence[Record], prepared: list[Decision]) -> None:
        """Evidence first, then verdicts, aligned frames and dead letters, all awaited."""
        outgoing: list[Outgoing] = []
        for record, decision in zip(records, prepared, strict=True):
            if decision.poison is not None:
                outgoing.append(self._dead_letter(record, decision.poison))
            else:
                outgoing.extend(await self._verdict_records(decision))
        await self._parts.outlet.publish(outgoing)
        for record, decision in zip(records, prepared, strict=True):
            _log_decision(record, decision)
            poison = decision.poison
            self._parts.office.count(poison is not None, str(poison))

    async def _redeem(self, frame: Frame) -> Frame:
        assert frame.claim is not None
        claim, rules = frame.claim, self._parts.claims
        content = await persistently(
            lambda: redeem_claim(claim.ref, claim.sha256, rules.roots, rules.max_bytes),
            self._parts.progress,
            "claim store",
        )
        check_picture_bytes(content, frame.content_type, rules.max_bytes)
        return replace(frame, picture=content)

    async def _inspect(self, recipe: Recipe, frames: Sequence[Frame]) -> list[Inspected]:
        requests = [InspectionRequest(frame.picture, frame.content_type, frame.parameters) for frame in frames]
        backoff_s = 0.2
        while True:
            try:
                inspected = await self._parts.pool.inspect(recipe, requests)
            except TransientError as error:
                self._parts.progress.waiting_for = "bundle store"
                _log.warning("bundle store is away, retrying: %s", error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, 10.0)
            else:
                self._parts.progress.waiting_for = None
                return inspected

    def _decide(self, frame: Frame, recipe: Recipe, inspected: Inspected, waited_ms: float) -> Decision:
        result, made_by = inspected.result, inspected.made_by
        if isinstance(result, Refusal) or made_by is None:
            refusal = result if isinstance(result, Refusal) else Refusal(DeadLetterReason.ENGINE_FAULT, "no engine")
            return Decision(frame=frame, poison=PoisonFrame(refusal.reason, refusal.detail))
        by = DecidedBy(
            decided_at=_now(),
            version=self._parts.version,
            backend=made_by.backend,
            precision=made_by.precision,
            template_sha256=made_by.template_sha256,
            queue_ms=waited_ms,
        )
        return Decision(frame, verdict_of(frame, recipe.product, recipe, result, by), result, made_by, recipe)

    async def _verdict_records(self, decision: Decision) -> list[Outgoing]:
        frame, verdict = decision.frame, decision.verdict
        assert frame is not None and verdict is not None
        key = frame.station.encode()
        stored = await self._store_evidence(decision, frame, verdict)
        records = [Outgoing(self._parts.topics.verdicts, key, encode_verdict(stored))]
        aligned = _aligned_frame(decision)
        if aligned is not None:
            records.append(Outgoing(self._parts.topics.aligned, key, encode_aligned(aligned)))
        return records

    async def _store_evidence(self, decision: Decision, frame: Frame, verdict: Verdict) -> Verdict:
        wanted = verdict.outcome in (Outcome.FAIL, Outcome.REVIEW) or (
            verdict.outcome is Outcome.PASS
            and decision.recipe is not None
            and is_sampled(frame.frame_id, decision.recipe.pass_sample)
        )
        if not wanted:
            return verdict
        kind = verdict.outcome.value
        keep = self._parts.evidence.keep
        picture = await keep(frame.picture, suffix_of(frame.content_type), kind)
        heat = decision.inspection.heat_map_png if decision.inspection else None
        heat_map = await keep(heat, ".png", kind) if heat else None
        return verdict.model_copy(update={"evidence": Evidence(picture=picture, heat_map=heat_map)})

    def _dead_letter(self, record: Record, poison: PoisonFrame) -> Outgoing:
        letter = dead_letter(record.key, record.value, record.headers, record.origin, poison, _now())
        headers = tuple(letter.kafka_headers())
        return Outgoing(self._parts.topics.dead_letters, record.key, record.value, headers)


def _aligned_frame(decision: Decision) -> AlignedFrame | None:
    frame, result, recipe, made_by = decision.frame, decision.inspection, decision.recipe, decision.made_by
    if frame is None or result is None or recipe is None or made_by is None:
        return None
    if result.aligned_picture is None or result.score_grid is None or result.transform is None or result.score is None:
        return None
    transform = [float(value) for value in result.transform.ravel()]
    header = AlignedHeader(
        frame_id=frame.frame_id,
        station=frame.station,
        product=recipe.product,
        captured_at=frame.captured_at,
        epoch=frame.epoch,
        sequence=frame.sequence,
        bundle_sha256=recipe.bundle_sha256,
        template_sha256=made_by.template_sha256,
        recipe_revision=recipe.revision,
        score=result.score,
        residual=result.alignment.residual or 0.0,
        cell_threshold=made_by.cell_threshold,
        transform=(transform[0], transform[1], transform[2], transform[3], transform[4], transform[5]),
        frame_size_px=result.frame_size_px,
        window=recipe.window,
        signals=signals_of(result.fields, result.fused),
    )
    return AlignedFrame(header, result.aligned_picture, result.score_grid)


def _log_decision(record: Record, decision: Decision) -> None:
    if decision.verdict is None:
        key = (record.key or b"").decode("utf-8", "replace")
        frame_id = decision.frame.frame_id if decision.frame else None
        _log.warning("dead letter: %s", decision.poison, extra={"station": key, "frame_id": frame_id})
        return
    verdict = decision.verdict
    _log.info(
        "%s%s",
        verdict.outcome.value,
        f" ({verdict.reason.value})" if verdict.reason else "",
        extra={"station": verdict.station, "frame_id": verdict.frame_id, "score": verdict.score},
    )


def _waited_ms(record: Record, arrived_ms: float) -> float:
    return max(arrived_ms - record.origin.timestamp_ms, 0.0)


def _now() -> datetime:
    return datetime.now(UTC)
