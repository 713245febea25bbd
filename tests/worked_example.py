"""The morning that docs/sql.md asks about: two cameras, twelve plates, a scratching fixture, three answers.

Small enough to check every figure by hand: the comments say what each view has to show.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.activation import Wishes, activate
from agents.database import Connection
from agents.records import record_alerts, record_dead_letters, record_verdicts
from agents.records.acknowledgement import acknowledge_alert
from agents.records.reviews import Answer, record_review
from schemas.alert import AlertState, Cause
from schemas.store import ContentStore
from schemas.tables import VerdictKind
from schemas.verdict import FieldStatus, Outcome, Reason, Verdict, verdict_id
from tests.bundles import a_bundle_file
from tests.verdicts import (
    SHA,
    a_dead_letter,
    a_defect,
    a_failed_verdict,
    a_reading,
    a_verdict,
    an_alert,
    an_uninspected_verdict,
)

CAM0, CAM1, CAM9 = "lab/line1/cam0", "lab/line1/cam1", "lab/line2/cam9"
EIGHT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def tell(conn: Connection, folder: Path) -> None:
    """Write the morning into a migrated database (bundles into `folder`), in the caller's transaction."""
    store = ContentStore(f"file://{folder}/bundles")
    for station in (CAM0, CAM0, CAM1):  # cam0 is at revision 2
        activate(conn, store, a_bundle_file(), station=station, product="plate", wishes=Wishes())
    record_verdicts(conn, [*_first_hour(), *_second_hour(), *_second_camera(), *_stray()])
    record_verdicts(conn, [_seen("SN03", 3)])  # the camera sent it twice: counted, nothing else
    again = a_verdict("boot-1-4", unit_id="SN04", captured_at=_at(4), sequence=4, revision=2, score=0.2)
    record_verdicts(conn, [again], VerdictKind.REINSPECTION)
    record_dead_letters(conn, [a_dead_letter(17, at=_at(6)), a_dead_letter(18, reason="oversized", at=_at(70))])
    _alert(conn)
    for sequence, answer in ((2, Answer.CONFIRMED), (4, Answer.FALSE_CALL), (4, Answer.FALSE_CALL), (5, Answer.ESCAPE)):
        record_review(
            conn, _id(sequence), answer, who="Mia", why="looked at the part", at=_at(200) + timedelta(seconds=sequence)
        )


def _at(minute: int) -> datetime:
    return EIGHT + timedelta(minutes=minute)


def _id(sequence: int, revision: int = 1) -> str:
    return verdict_id(CAM0, f"boot-1-{sequence}", SHA, revision)


def _seen(unit: str, sequence: int) -> Verdict:
    frame = f"boot-1-{sequence}"
    return a_verdict(frame, unit_id=unit, lot="A7", captured_at=_at(sequence), sequence=sequence)


def _first_hour() -> list[Verdict]:
    """CAM0, 08:01 to 08:08: 3 pass, 2 fail, 1 review, 1 uninspected; frame 6 is a dead letter, 9 never came."""
    fields = (
        a_reading("force", 12.5),
        a_reading("lot", "A7", unit=None),
        a_reading("speed", None, status=FieldStatus.MISSING),
    )
    return [
        _seen("SN01", 1).model_copy(update={"fields": fields}),
        a_failed_verdict("boot-1-2", a_defect(40, 40), unit_id="SN02", captured_at=_at(2), sequence=2, fields=fields),
        _seen("SN03", 3),
        a_failed_verdict("boot-1-4", a_defect(200, 10, score=0.6), unit_id="SN04", captured_at=_at(4), sequence=4),
        _seen("SN05", 5),
        a_verdict(
            "boot-1-7",
            unit_id="SN07",
            captured_at=_at(7),
            sequence=7,
            outcome=Outcome.REVIEW,
            reason=Reason.LOW_CONFIDENCE,
            score=0.45,
            late=True,
        ),
        an_uninspected_verdict(
            "boot-1-8", unit_id="SN08", captured_at=_at(8), sequence=8, reason=Reason.MISALIGNED, revision=1, bundle=SHA
        ),
    ]


def _second_hour() -> list[Verdict]:
    """CAM0, 09:10 to 09:13 on revision 2: the fixture scratches 4 of 5 parts in tile x64-95 y32-63."""
    scratched = [
        a_failed_verdict(
            f"boot-1-{sequence}",
            a_defect(66, 34, kind="scratch", score=0.8),
            unit_id=f"SN{sequence}",
            captured_at=_at(60 + sequence),
            sequence=sequence,
            revision=2,
        )
        for sequence in (10, 11, 13, 14)
    ]
    passed = a_verdict("boot-1-12", unit_id="SN12", captured_at=_at(72), sequence=12, revision=2)
    return [*scratched[:2], passed, *scratched[2:]]


def _second_camera() -> list[Verdict]:
    """CAM1 sees SN01 to SN03 and finds a fault on SN03; it never sees the others."""
    passed = [
        a_verdict(f"cam1-{n}", station=CAM1, unit_id=f"SN0{n}", captured_at=_at(20 + n), sequence=n) for n in (1, 2)
    ]
    failed = a_failed_verdict("cam1-3", a_defect(1, 1), station=CAM1, unit_id="SN03", captured_at=_at(23), sequence=3)
    return [*passed, failed]


def _stray() -> list[Verdict]:
    """A camera nobody registered, whose clock is in 1970."""
    when = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    return [an_uninspected_verdict("x-1", station=CAM9, product=None, captured_at=when, decided_at=EIGHT, sequence=1)]


def _alert(conn: Connection) -> None:
    """Run begins with frame 10; suspected at 13 (4 frames later), confirmed at 14, then Mia takes it in hand."""
    more: dict[str, Any] = {"first_sequence": 10, "region_px": (64, 32, 16, 8), "frames": ("boot-1-10", "boot-1-14")}
    more |= {"text": "4 of 5 plates are scratched at x 64 y 32."}
    record_alerts(conn, [an_alert(AlertState.SUSPECTED, at=_at(73), last_sequence=13, n_frames=3, **more)])
    confirmed = an_alert(AlertState.CONFIRMED, at=_at(74), last_sequence=14, n_frames=4, hit_rate=0.8, **more)
    record_alerts(conn, [confirmed])
    acknowledge_alert(conn, confirmed.alert_id, who="Mia", note="clamp 3 replaced", at=_at(80))
    cleared = {
        **more,
        "first_sequence": 2,
        "region_px": (0, 0, 8, 8),
        "rule": "median",
        "text": "Lens was dirty.",
        "frames": (),
    }
    for minute, state in enumerate(AlertState):
        if state is not AlertState.ACKNOWLEDGED:
            event = an_alert(state, at=_at(3 + minute), last_sequence=4 + minute, cause=Cause.SENSOR, **cleared)
            record_alerts(conn, [event])
