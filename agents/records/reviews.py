"""Reviews: what a person answered to a verdict. Every answer is kept; the newest one counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agents.database import Connection, database_edge
from agents.records.upsert import storable
from schemas.errors import InputError
from schemas.verdict import Outcome


class Answer(StrEnum):
    """The verdict was right; it condemned a good part; it let a bad part through."""

    CONFIRMED = "confirmed"
    FALSE_CALL = "false_call"
    ESCAPE = "escape"


_FITS = {
    Answer.CONFIRMED: set(Outcome),
    Answer.FALSE_CALL: {Outcome.FAIL, Outcome.REVIEW},
    Answer.ESCAPE: {Outcome.PASS},
}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The verdict that was answered."""

    verdict_id: str
    station: str
    frame_id: str
    unit_id: str | None
    outcome: Outcome


def record_review(conn: Connection, verdict_id: str, answer: Answer, *, who: str, why: str, at: datetime) -> Reviewed:
    """Keep a person's answer to the verdict `verdict_id`.

    The caller owns the transaction. Raises: InputError when there is no such verdict, or when the answer does not fit
    its outcome; TransientError.
    """
    with database_edge():
        found = conn.execute(
            "SELECT verdict_id, station, frame_id, unit_id, outcome FROM sightline.verdict WHERE verdict_id = %s"
            " ORDER BY kind LIMIT 1",
            [verdict_id],
        ).fetchone()
        if found is None:
            raise InputError(f"there is no verdict {verdict_id!r}: `sightline history unit-history` shows their ids")
        found_id, station, frame_id, unit_id, outcome = found
        reviewed = Reviewed(found_id, station, frame_id, unit_id, Outcome(outcome))
        if reviewed.outcome not in _FITS[answer]:
            fitting = " or ".join(sorted(_FITS[answer]))
            raise InputError(f"verdict {verdict_id} is {reviewed.outcome}: {answer} is an answer to {fitting} alone")
        conn.execute(
            "INSERT INTO sightline.review (verdict_id, answer, who, why, at) VALUES (%s, %s, %s, %s, %s)",
            [verdict_id, answer.value, storable(who), storable(why), at],
        )
    return reviewed
