"""docs/sql.md as the tests see it: sections, the SQL in them, and the answers printed below each."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.postgres_cluster import executable

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sql.md"
_SECTION = re.compile(r"^##? (.+)$", re.MULTILINE)
_QUESTION = re.compile(r"```sql\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """A block of SQL and the answer printed below it."""

    section: str
    sql: str
    answer: str | None


def sections(page: str) -> dict[str, str]:
    """Text of each section by its title."""
    found = list(_SECTION.finditer(page))
    ends = [match.start() for match in found[1:]] + [len(page)]
    return {match[1]: page[match.end() : end] for match, end in zip(found, ends, strict=True)}


def questions(page: str) -> Iterator[Question]:
    """Every SQL block, in order."""
    for title, text in sections(page).items():
        for match in _QUESTION.finditer(text):
            yield Question(title, match[1], match[2])


def ask(url: str, sql: str) -> str:
    """What psql prints for `sql`, times in UTC, without the blanks at line ends."""
    environment = {**os.environ, "PGTZ": "UTC", "LC_ALL": "C.UTF-8", "PGOPTIONS": "", "PAGER": ""}
    command = [str(executable("psql")), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url]
    run = subprocess.run(command, input=sql, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode:
        raise AssertionError(run.stderr)
    return "\n".join(line.rstrip() for line in run.stdout.strip("\n").splitlines()) + "\n"
