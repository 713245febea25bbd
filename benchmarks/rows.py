"""Rows of accuracy tables, as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.result import Json


def defined(figures: Mapping[str, float]) -> dict[str, Json]:
    """`figures` to four places; None for those that are not defined (NaN)."""
    return {name: None if math.isnan(value) else round(value, 4) for name, value in figures.items()}


def image_auroc(rows: Mapping[str, Json], name: str) -> float:
    """That of row `name`. Raises: TypeError when it has none."""
    return figure_of(rows, name, "image_auroc")


def figure_of(rows: Mapping[str, Json], name: str, figure: str) -> float:
    """`figure` of row `name`. Raises: TypeError when it has none."""
    row = rows[name]
    value = row[figure] if isinstance(row, Mapping) else None
    if not isinstance(value, float):
        raise TypeError(f"{name} has no {figure}: {row}")
    return value
