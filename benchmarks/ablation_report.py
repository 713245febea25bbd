"""The ablation table of docs/accuracy.md: sightline bench ablation --json | python -m benchmarks.ablation_report."""

from __future__ import annotations

import json
import sys
from typing import Any

_PAPER = {
    "IMM + DGM": ("0.974", "0.979"),
    "DGM": ("0.956", "0.964"),
    "DGM + AUG": ("0.962", "0.965"),
    "IMM": ("0.920", "0.933"),
    "neither": ("0.827", "0.870"),
    "AUG": ("0.822", "0.872"),
    "IMM + DGM, one vector": ("0.981", "0.957"),
}
"""Pixel AUROC on MAD-RTO, for its screw and as the mean of ten objects: 004, tables 1 and 2."""
_COLUMNS = ("pixel_auroc", "pixel_ap", "au_pro", "image_auroc")


def table(result: dict[str, Any]) -> str:
    """Markdown of one benchmark result."""
    lines = [
        "| row | paper: screw | paper: mean | pixel AUROC | pixel AP | AU-PRO | image AUROC |",
        "|" + "---|" * 7,
    ]
    for name, row in result["figures"]["rows"].items():
        cells = [name, *_PAPER.get(name, ("", "")), *(_figure(row[column]) for column in _COLUMNS)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    print(table(json.load(sys.stdin)))
