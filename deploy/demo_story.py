"""What the demo tells a person: verdicts as they come, the alert, and what the database knows at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table

from agents.database import connect
from deploy.highlights import Highlights
from schemas.alert import Alert, AlertState, Cause, decode_alert
from schemas.topics import Topics
from schemas.verdict import Outcome, Verdict, decode_verdict

COLOURS = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.REVIEW: "yellow", Outcome.UNINSPECTED: "magenta"}
Question = tuple[str, str]
_YIELD: Question = (
    "How many parts passed, hour by hour?",
    "SELECT hour, product, n_pass, n_fail, n_review, round(first_pass_yield::numeric, 3) AS yield"
    " FROM sightline.v_yield ORDER BY hour",
)
PLATE_QUESTIONS: tuple[Question, ...] = (
    _YIELD,
    (
        "Which defects come again and again, and where on the part?",
        "SELECT kind, region, n FROM sightline.v_pareto ORDER BY n DESC LIMIT 3",
    ),
    (
        "What is systematic, since which part, and how soon did we know?",
        "SELECT state, region, first_sequence, delay_frames, confirm_delay_frames FROM sightline.v_systematic",
    ),
)
ASE_QUESTIONS: tuple[Question, ...] = (
    _YIELD,
    (
        "What did the machine print, and how much of it could be read?",
        "SELECT name, unit, count(*) AS n, count(value_number) AS n_known,"
        " round(avg(value_number)::numeric, 3) AS mean, round(stddev(value_number)::numeric, 3) AS deviation"
        " FROM sightline.field_reading GROUP BY name, unit"
        " ORDER BY min(ordinal)",
    ),
    (
        "What drifts, since which part?",
        "SELECT state, rule, first_sequence, text FROM sightline.v_systematic",
    ),
    (
        "Which parts had the least bond force, and what became of them?",
        "SELECT unit_id, value_number AS bond_force, outcome, round(score::numeric, 2) AS score"
        " FROM sightline.field_reading JOIN sightline.verdict USING (verdict_id) WHERE name = 'Bond Force'"
        " ORDER BY value_number LIMIT 3",
    ),
)

FUSED_QUESTIONS: tuple[Question, ...] = (
    *ASE_QUESTIONS[:1],
    (
        "How far were picture and parameters trusted, and what did the fusing cost?",
        "SELECT outcome, count(*) AS n, round(avg(gate_image)::numeric, 2) AS picture,"
        " round(avg(gate_fields)::numeric, 2) AS parameters, round(avg(fuse_ms)::numeric, 2) AS fuse_ms"
        " FROM sightline.verdict GROUP BY outcome ORDER BY n DESC",
    ),
    *ASE_QUESTIONS[1:],
)


@dataclass(slots=True)
class Story:
    """Counts, and the first alert of `cause` confirmed; `began_at_s` is when the camera started."""

    out: Highlights
    began_at_s: float
    cause: Cause
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    alert: Alert | None = None
    confirmed_after_s: float | None = None
    n_read: int = 0
    n_fields: int = 0
    _seen: set[str] = field(default_factory=set)

    def tell_verdict(self, verdict: Verdict) -> None:
        """One line a verdict; repeats are dropped, as every consumer who counts does."""
        if verdict.verdict_id in self._seen:
            return
        self._seen.add(verdict.verdict_id)
        self.outcomes[verdict.outcome] += 1
        known = [each for each in verdict.fields if each.value is not None]
        self.n_read, self.n_fields = self.n_read + len(known), self.n_fields + len(verdict.fields)
        colour = COLOURS[verdict.outcome]
        where = ", ".join(f"{d.bbox_px[0]},{d.bbox_px[1]}" for d in verdict.defects[:3])
        took_ms = (verdict.decided_at - verdict.captured_at).total_seconds() * 1000
        self.out.line(
            f"{verdict.captured_at:%H:%M:%S.%f}"[:-3]
            + f"  {verdict.unit_id}  [{colour}]{verdict.outcome.value:<11}[/] score {verdict.score or 0.0:6.3f}"
            + f"  {took_ms:5.1f} ms"
            + (f"  defects at {where}" if where else "")
            + (f"  {len(known)} of {len(verdict.fields)} fields" if verdict.fields else "")
            + (f", picture trusted {verdict.gate.image:.2f}" if verdict.timing_ms.fuse is not None else "")
            + "".join(
                f", {each.name} {each.value:g} {each.unit}" for each in known[:1] if isinstance(each.value, float)
            )
        )

    def tell_alert(self, alert: Alert, now_s: float) -> None:
        """A box for each change of state."""
        if alert.cause is self.cause and alert.state is AlertState.CONFIRMED and self.confirmed_after_s is None:
            self.alert = alert
            self.confirmed_after_s = now_s - self.began_at_s
        style = "bold red" if alert.state is AlertState.CONFIRMED else "bold yellow"
        title = f"ALERT {alert.state.value} · {alert.cause.value} · {now_s - self.began_at_s:.1f} s after the start"
        self.out.event(Panel(alert.text, title=title, border_style=style))

    def summarise(self, postgres_url: str, picture: str | None, questions: Sequence[Question]) -> None:
        """Frames, yield, fields, the alert, and questions with their answers from the database."""
        n_frames = sum(self.outcomes.values())
        inspected = n_frames - self.outcomes[Outcome.UNINSPECTED]
        passed = self.outcomes[Outcome.PASS]
        out = self.out
        out.event(Rule("what happened"))
        counts = ", ".join(f"{n} {outcome.value}" for outcome, n in self.outcomes.most_common())
        first_pass = f"; first-pass yield {passed / inspected:.1%}" if inspected else ""
        out.event(f"{n_frames} frames: {counts}{first_pass}")
        if self.n_fields:
            share = self.n_read / self.n_fields
            out.event(
                f"{self.n_read} of {self.n_fields} printed parameters are known ({share:.1%}); the rest are abstained"
            )
        if self.alert is None or self.confirmed_after_s is None:
            out.event("[bold red]no alert was confirmed")
        else:
            out.event(f"alert confirmed {self.confirmed_after_s:.1f} s after the start: {self.alert.text}")
        if picture:
            out.event(f"its median-gradient picture: {picture}")
        out.event(Rule("ask the history in SQL"))
        for question, sql, names, rows in _answers(postgres_url, questions):
            out.event(f"[bold]{question}[/]\n[cyan]{sql};[/]")
            table = Table(*names, box=None, pad_edge=False)
            for row in rows:
                table.add_row(*(str(value) for value in row))
            out.event(table)


def story_topics(topics: Topics) -> tuple[str, str]:
    """The topics the story follows."""
    return topics.verdicts, topics.alerts


def tell(story: Story, topics: Topics, records: Sequence[Any], now_s: float) -> None:
    """Tell what kafka-python's `records` say."""
    for record in records:
        if record.topic == topics.verdicts:
            story.tell_verdict(decode_verdict(record.value))
        else:
            story.tell_alert(decode_alert(record.value), now_s)


def _answers(
    postgres_url: str, questions: Sequence[Question]
) -> Iterator[tuple[str, str, list[str], list[tuple[Any, ...]]]]:
    with connect(postgres_url, application="sightline demo") as connection:
        for question, sql in questions:
            cursor = connection.execute(sql.encode())
            names = [column.name for column in cursor.description or ()]
            yield question, sql, names, cursor.fetchall()
