"""OANet's figures as the tables of docs/oanet.md: sightline bench oanet --json | python -m benchmarks.oanet_report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = {
    "cnn_alone": "image branch alone",
    "cnn_alone_black": "image branch alone, lost pixels left black",
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
_KEPT = {
    "recall": "recall of the verdict",
    "f1_best_single": "F1 of the best single modality",
    "f1_retention": "F1 kept of that on clean parts",
    "image_weight": "weight of the picture",
    "calibration_error": "calibration error",
    "aurc": "AURC",
}
_FIRST = ("accuracy", "recall", "f1", "auroc")


def tables(figures: Mapping[str, Any]) -> str:
    """Markdown: Table 1 and Table 2 of every branch, then intra-bagging. Args: figures: the benchmark's."""
    lines: list[str] = []
    for name, scenes in figures["branches"].items():
        n, side_px = figures["repeats"][name], figures["side_px"][name]
        lines += [branch_tables(name, n, side_px, scenes, figures["table_2"][name])]
    return "\n".join([*lines, "", *_bound(figures["bound"]), "", *_voices(figures["voices"], figures["voices_absent"])])


def branch_tables(
    name: str,
    n_repeats: int,
    side_px: int,
    scenes: Mapping[str, Mapping[str, Mapping[str, float]]],
    kept: Mapping[str, Mapping[str, float]],
) -> str:
    """Both tables of one branch. Args: scenes: scene -> method -> figures. kept: the rows of its Table 2."""
    head = f"{name}, repeats: {n_repeats}, {side_px} px"
    return "\n".join(["", head, "", *_clean(scenes["clean"]), "", *_lost(scenes, kept)])


def _clean(methods: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = ["| clean parts | accuracy | recall | F1 | AUROC |", "|---|---|---|---|---|"]
    for name, label in _ROWS.items():
        if name in methods:
            cells = (_cell(methods[name], figure) for figure in _FIRST)
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _lost(
    scenes: Mapping[str, Mapping[str, Mapping[str, float]]], kept: Mapping[str, Mapping[str, float]]
) -> list[str]:
    names: Sequence[str] = list(scenes)
    lines = [f"| F1 / AUROC | {' | '.join(names).replace('_', ' ')} |", "|---|" + "---|" * len(names)]
    for name, label in _ROWS.items():
        if name in scenes["clean"]:
            cells = (f"{scenes[scene][name]['f1']:.3f} / {scenes[scene][name]['auroc']:.3f}" for scene in names)
            lines.append(f"| {label} | {' | '.join(cells)} |")
    for figure, label in _KEPT.items():
        lines.append(f"| {label} | {' | '.join(f'{kept[scene][figure]:.3f}' for scene in names)} |")
    plain = " | ".join(f"{scenes[scene]['ungated']['aurc']:.3f}" for scene in names)
    return [*lines, f"| AURC, weights fixed | {plain} |"]


def _bound(scenes: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = {"F1 of a judge who knows the machine": "f1", "F1 kept of that on clean parts": "f1_retention"}
    lines = [f"| the most anybody could | {' | '.join(scenes).replace('_', ' ')} |", "|---|" + "---|" * len(scenes)]
    return lines + [
        f"| {label} | {' | '.join(f'{row[name]:.3f}' for row in scenes.values())} |" for label, name in rows.items()
    ]


def _voices(voices: Mapping[str, Mapping[str, float]], absent: Sequence[str]) -> list[str]:
    lines = ["| fields alone, out of fold | accuracy | recall | F1 | AUROC |", "|---|---|---|---|---|"]
    for name, row in voices.items():
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(_cell(row, figure) for figure in _FIRST)} |")
    return [*lines, "", f"Not installed: {', '.join(absent) or 'none'}."]


def _cell(row: Mapping[str, float], figure: str) -> str:
    spread = row.get(f"{figure}_sd")
    return f"{100 * row[figure]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


if __name__ == "__main__":
    print(tables(json.load(sys.stdin)["figures"]))
