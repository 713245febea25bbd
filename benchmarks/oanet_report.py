"""OANet's figures as the tables of docs/oanet.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = {
    "cnn_alone": "image branch alone",
    "xgboost_alone": "XGBoost on the fields alone",
    "late_average": "average of these two",
    "film": "FiLM",
    "concatenation": "concatenation",
    "our_image_voice": "our image voice",
    "our_fields_voice": "our fields voice",
    "alignment": "+ alignment",
    "refinement": "+ refinement",
    "ungated": "+ ensemble, weights fixed",
    "gate": "+ gate",
}
_FIRST = ("accuracy", "recall", "f1", "auroc")


def tables(branches: Mapping[str, Any], repeats: Mapping[str, int]) -> str:
    """Markdown: Table 1 and Table 2 for every branch. Args: branches: the benchmark's figure of that name."""
    lines: list[str] = []
    for branch, scenes in branches.items():
        lines += ["", f"{branch}, repeats: {repeats[branch]}", "", *_clean(scenes["clean"]), "", *_lost(scenes)]
    return "\n".join(lines)


def _clean(methods: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = ["| clean parts | accuracy | recall | F1 | AUROC |", "|---|---|---|---|---|"]
    for name, label in _ROWS.items():
        if name in methods:
            cells = (_cell(methods[name], figure) for figure in _FIRST)
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _lost(scenes: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    names: Sequence[str] = list(scenes)
    lines = [f"| F1 / AUROC | {' | '.join(names).replace('_', ' ')} |", "|---|" + "---|" * len(names)]
    for name, label in _ROWS.items():
        if name in scenes["clean"]:
            cells = (f"{scenes[scene][name]['f1']:.3f} / {scenes[scene][name]['auroc']:.3f}" for scene in names)
            lines.append(f"| {label} | {' | '.join(cells)} |")
    for figure, label in (("image_weight", "weight of the picture"), ("calibration_error", "calibration error"),
                          ("aurc", "AURC")):  # fmt: skip
        values = " | ".join(f"{scenes[scene]['gate'][figure]:.3f}" for scene in names)
        lines.append(f"| {label} | {values} |")
    plain = " | ".join(f"{scenes[scene]['ungated']['aurc']:.3f}" for scene in names)
    return [*lines, f"| AURC, weights fixed | {plain} |"]


def _cell(row: Mapping[str, float], figure: str) -> str:
    spread = row.get(f"{figure}_sd")
    return f"{100 * row[figure]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")
