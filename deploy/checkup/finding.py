"""A finding: what was looked at, whether it is fine, and what to do when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How serious a finding is; the exit code of `sightline doctor` follows from the worst."""

    FINE = "fine"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WRONG = "wrong"
    """Something a line needs is away, full or behind: exit code 1."""
    BROKEN = "broken"
    """The installation or a setting is wrong, no line can start: exit code 2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty when there is nothing to do."""

    area: str
    name: str
    status: Status
    detail: str
    remedy: str = ""


def exit_code(findings: list[Finding]) -> int:
    """0: fine; 1: something a line needs is not right now; 2: the set-up is wrong."""
    statuses = {finding.status for finding in findings}
    if Status.BROKEN in statuses:
        return 2
    return 1 if Status.WRONG in statuses else 0
