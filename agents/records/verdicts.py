"""Verdicts into `frame`, `verdict`, `defect` and `field_reading`: the first live decision on a frame stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.database import Connection, database_edge
from agents.records.decision_rows import (
    DEFECT_COLUMNS,
    FIELD_COLUMNS,
    VERDICT_COLUMNS,
    defect_rows,
    field_rows,
    verdict_row,
)
from agents.records.stations import register_stations
from agents.records.upsert import Upsert, storable, together
from schemas.tables import VerdictKind
from schemas.verdict import Verdict

_FRAMES = Upsert(
    "frame",
    ("station", "frame_id", "verdict_id", "captured_at", "unit_id", "lot", "product", "epoch", "sequence", "n_repeats"),
    "(station, frame_id) DO UPDATE SET n_repeats = held.n_repeats + excluded.n_repeats + 1",
    key=("station", "frame_id"),
    returning="held.station, held.frame_id, held.xmax = 0",
)
_VERDICTS = Upsert("verdict", VERDICT_COLUMNS, "DO NOTHING", key=("verdict_id",))
_DEFECTS = Upsert("defect", DEFECT_COLUMNS, "DO NOTHING", key=("verdict_id", "ordinal"))
_FIELDS = Upsert("field_reading", FIELD_COLUMNS, "DO NOTHING", key=("verdict_id", "ordinal"))

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch of verdicts did: rows that are new, and decisions on identities already decided."""

    n_new: int
    n_repeats: int


def record_verdicts(conn: Connection, verdicts: Sequence[Verdict], kind: VerdictKind = VerdictKind.LIVE) -> Recorded:
    """Write `verdicts`; whatever was decided before on the same (station, frame_id) stands and is only counted.

    A repeat changes nothing but `frame.n_repeats`, whatever its time, recipe or partition, and also within one batch,
    where the first of them in `verdicts` wins. Re-inspections are kept beside the live decision, one per verdict_id.
    The caller owns the transaction and calls this once in it: rows are locked in the order of their keys, so that
    writers of the same frames wait for one another and never deadlock.

    Raises: TransientError, after which the transaction is to be rolled back and tried again.
    """
    if not verdicts:
        return Recorded(0, 0)
    with database_edge():
        with together(conn, len(verdicts)):
            register_stations(conn, {(verdict.station, verdict.site, verdict.line) for verdict in verdicts})
            won = _win_frames(conn, verdicts) if kind is VerdictKind.LIVE else _fresh_reinspections(conn, verdicts)
        decided = [verdict_row(verdict, kind, at) for verdict, at in won]
        defects = [row for verdict, at in won for row in defect_rows(verdict, kind, at)]
        fields = [row for verdict, at in won for row in field_rows(verdict, kind, at)]
        with together(conn, max(len(decided), len(defects), len(fields))):
            _VERDICTS.run(conn, decided)
            _DEFECTS.run(conn, defects)
            _FIELDS.run(conn, fields)
    return Recorded(len(won), len(verdicts) - len(won))


def _win_frames(conn: Connection, verdicts: Sequence[Verdict]) -> list[tuple[Verdict, datetime]]:
    first: dict[_Key, Verdict] = {}
    n_repeats: dict[_Key, int] = {}
    for verdict in verdicts:
        key = (storable(verdict.station) or "", storable(verdict.frame_id) or "")
        first.setdefault(key, verdict)
        n_repeats[key] = n_repeats.get(key, -1) + 1
    rows = [
        (
            *key,
            verdict.verdict_id,
            verdict.captured_at,
            storable(verdict.unit_id),
            storable(verdict.lot),
            storable(verdict.product),
            storable(verdict.epoch),
            verdict.sequence,
            n_repeats[key],
        )
        for key, verdict in first.items()
    ]
    decided = {(station, frame_id): inserted for station, frame_id, inserted in _FRAMES.run(conn, rows)}
    return [(verdict, verdict.captured_at) for key, verdict in first.items() if decided[key]]


def _fresh_reinspections(conn: Connection, verdicts: Sequence[Verdict]) -> list[tuple[Verdict, datetime]]:
    """Those not recorded yet, each at the capture time its frame already has: it picks the partition."""
    first = {verdict.verdict_id: verdict for verdict in reversed(verdicts)}
    known = conn.execute(
        "SELECT verdict_id FROM sightline.verdict WHERE kind = 'reinspection' AND verdict_id = ANY(%s)", [list(first)]
    )
    for (verdict_id,) in known.fetchall():
        del first[verdict_id]
    fresh = list(first.values())
    captured = conn.execute(
        "SELECT station, frame_id, captured_at FROM sightline.frame"
        " JOIN unnest(%s::text[], %s::text[]) AS wanted (station, frame_id) USING (station, frame_id)",
        [[verdict.station for verdict in fresh], [verdict.frame_id for verdict in fresh]],
    )
    at = {(station, frame_id): when for station, frame_id, when in captured.fetchall()}
    return [(verdict, at.get((verdict.station, verdict.frame_id), verdict.captured_at)) for verdict in fresh]
