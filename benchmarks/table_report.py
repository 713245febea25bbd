"""Table of docs/accuracy.md beside the peers: sightline bench table --json | python -m benchmarks.table_report."""

from __future__ import annotations

import json
import sys
from typing import Any

_COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "au_pro")
_NAMES = {
    "ours student": "ours, student int8",
    "ours student fine": "ours, student int8, fine grid",
    "ours resnet18": "ours, ResNet-18 int8",
    "ours resnet18 fine": "ours, ResNet-18 int8, fine grid",
    "mvtec_screw_rto": "mvtec_screw RTO",
}


def table(result: dict[str, Any]) -> str:
    """Markdown of one benchmark result, rows of one set and preparation together, their best bold."""
    rows: dict[str, dict[str, Any]] = result["figures"]["rows"]
    order = list(dict.fromkeys(_group(name) for name in rows))
    lines = [
        "| set | method | pictures | image AUROC | pixel AUROC | pixel AP | AU-PRO |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in order:
        members = {name: row for name, row in rows.items() if _group(name) == group}
        best = {column: max((row.get(column) or 0 for row in members.values()), default=0) for column in _COLUMNS}
        for name, row in members.items():
            data, method, label = name.split("/")
            cells = [_NAMES.get(data, data), _NAMES.get(method, method), label]
            cells += [_cell(row.get(column), best[column]) for column in _COLUMNS]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _group(name: str) -> tuple[str, str]:
    data, _, label = name.split("/")
    return data, label


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return "-"
    return f"**{value:.3f}**" if value == best else f"{value:.3f}"


if __name__ == "__main__":
    print(table(json.load(sys.stdin)))
