"""A verdict or an alert as one coloured line."""

from __future__ import annotations

from rich.markup import escape
from rich.text import Text

from deploy.tables_shown import coloured
from schemas.alert import Alert
from schemas.verdict import Verdict


def verdict_line(verdict: Verdict) -> Text:
    """When, where, what, why, how surely, on which unit or frame, how long it took."""
    what = coloured(verdict.outcome.value) + " " * (11 - len(verdict.outcome.value))
    score = "      " if verdict.score is None else f"{verdict.score:6.3f}"
    total = verdict.timing_ms.total
    notes = [
        verdict.reason.value if verdict.reason else "",
        f"{len(verdict.defects)} defect{'s' if len(verdict.defects) > 1 else ''}" if verdict.defects else "",
        "[bold red]late[/]" if verdict.late else "",
        f"[dim]{total:.0f} ms[/]" if total is not None else "",
    ]
    line = (
        f"[dim]{verdict.captured_at:%H:%M:%S.%f}"[:-3]
        + f"[/] {escape(verdict.station)} {what} {score} {escape(verdict.unit_id or verdict.frame_id)} "
        + " ".join(note for note in notes if note)
    )
    return Text.from_markup(line.rstrip())


def alert_line(alert: Alert) -> Text:
    """When, where, which state, and the sentence to act on."""
    return Text.from_markup(
        f"[dim]{alert.at:%H:%M:%S}[/] {escape(alert.station)} [bold]ALERT[/] {coloured(alert.state.value)} "
        f"({escape(alert.cause.value)}) {escape(alert.text)} [dim]{escape(alert.alert_id[:12])}[/]"
    )
