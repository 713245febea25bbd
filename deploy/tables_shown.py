"""Rows of a query for people (a table on a terminal) and for programs (a JSON object a line)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.times import format_rfc3339

Row = Mapping[str, Any]
_COLOURS = {
    "pass": "green",
    "fail": "red",
    "review": "yellow",
    "uninspected": "magenta",
    "suspected": "yellow",
    "confirmed": "red",
    "acknowledged": "cyan",
    "cleared": "green",
}


def table_of(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """A rich table; numbers to the right, times in UTC, nothing for null."""
    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False)
    for name in columns:
        is_number = any(isinstance(row[name], int | float) and not isinstance(row[name], bool) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*[_cell(row[name]) for name in columns])
    return table


def console_for(n_columns: int) -> Console:
    """The terminal, or lines wide enough for `n_columns` where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=max(120, 24 * n_columns))


def print_json_lines(rows: Iterable[Row]) -> None:
    """One JSON object a row; times as RFC 3339."""
    for row in rows:
        print(json.dumps(dict(row), default=_plain, ensure_ascii=False))


def coloured(word: str) -> str:
    """An outcome or state in its colour, as rich markup."""
    return f"[{_COLOURS[word]}]{word}[/]" if word in _COLOURS else escape(word)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return escape(", ".join(map(str, value)))
    return coloured(str(value))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
