"""Tables of docs/accuracy.md: sightline bench accuracy --json | python -m benchmarks.accuracy_report."""

from __future__ import annotations

import json
import sys
from typing import Any

_COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "au_pro", "image_f1", "best_f1")


def tables(result: dict[str, Any]) -> str:
    """Markdown of one benchmark result."""
    figures = result["figures"]
    lines = [
        "| set | backbone | motion | px | good/bad | image AUROC | pixel AUROC | pixel AP | AU-PRO | F1 as calibrated "
        "| best F1 | false calls | escapes | train s |",
        "|" + "---|" * 14,
    ]
    for name, row in figures["rows"].items():
        unusual = ", ".join(name.split("/")[3:])
        cells = [name.split("/")[0], f"{row['backbone']} {unusual}".strip(), row["motion"], row["input_px"]]
        cells.append(f"{row['n_good']}/{row['n_bad']}")
        cells += [_figure(row, column) for column in _COLUMNS]
        cells += [_rate(row["false_calls_per_1000"], row["n_good"]), _rate(row["escapes_per_1000"], row["n_bad"])]
        lines.append("| " + " | ".join(str(cell) for cell in [*cells, row["train_s"]]) + " |")
    for name, row in figures["naive"].items():
        cells = [name, "naive difference", "none", 256, "", *(_figure(row, c) for c in _COLUMNS[:4])]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " | | | | | |")
    ends = [_boards(figures["deeppcb"])]
    if "splits" in figures:
        ends += [
            _splits(figures["splits"]),
            _contamination(figures["contamination"]),
            _sharpening(figures["sharpening"]),
            _looks(figures["looks"]),
        ]
    return "\n\n".join(["\n".join(lines), *ends])


def _splits(splits: dict[str, Any]) -> str:
    return (
        f"False calls on mvtec_screw, {splits['n_splits']} random splits of the good parts, a target of "
        f"{splits['target_per_1000']:g} in 1000: {splits['n_stopped']} of {splits['n_judged']} parts kept back were "
        f"stopped, {1000 * splits['n_stopped'] / splits['n_judged']:.1f} in 1000; {splits['n_splits_within']} of "
        f"{splits['n_splits']} splits stopped at most one part."
    )


def _contamination(found: dict[str, float]) -> str:
    return (
        "5 % defective parts among the good screws learnt from, against none: pixel AUROC "
        f"{found['contaminated_pixel_auroc']:.4f} against {found['clean_pixel_auroc']:.4f}, image AUROC "
        f"{found['contaminated_image_auroc']:.3f} against {found['clean_image_auroc']:.3f}, pixel AP "
        f"{found['contaminated_pixel_ap']:.3f} against {found['clean_pixel_ap']:.3f}."
    )


def _sharpening(found: dict[str, int]) -> str:
    return (
        f"Thresholds that know {found['n_known']} of the defective screws (`train --bad`): of the other "
        f"{found['n_bad']} defective ones {found['escapes_known']} pass, where {found['escapes']} pass without; of "
        f"{found['n_good']} good ones {found['false_calls_known']} are stopped, {found['false_calls']} without."
    )


def _looks(looks: dict[str, Any]) -> str:
    """A table: what is stopped as trained, and without the three good parts that score highest."""
    lines = [
        "| set | review from | good, bad parts stopped | without the three highest: review from | stopped |",
        "|---|---|---|---|---|",
    ]
    for name, row in looks.items():
        cells = [name.split("/")[0]]
        for stopped in (row["as_trained"], row["without_highest"]):
            if stopped is None:
                cells += ["-", "-"]
                continue
            counts = f"{stopped['n_good']} of {row['n_good']}, {stopped['n_bad']} of {row['n_bad']}"
            cells += [f"{stopped['review']:.2f}", counts]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _boards(boards: dict[str, Any]) -> str:
    n = boards["n_boards"]
    return (
        f"DeepPCB, {n} golden templates, {boards['variations']} variations each, {boards['input_px']} px: "
        f"{boards['n_stopped']} of {n} tested boards stopped, {boards['n_templates_stopped']} of {n} templates "
        f"stopped, {boards['n_defects_found']} of {boards['n_defects']} defects touched, "
        f"pixel AUROC {boards['pixel_auroc']:.3f}, AP {boards['pixel_ap']:.3f}, AU-PRO {boards['au_pro']:.3f} "
        "(boxes as truth, means over boards)."
    )


def _figure(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "-"
    low, high = row.get(f"{name}_interval", (None, None))
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _rate(per_1000: float, n: int) -> str:
    return f"{round(per_1000 * n / 1000)} of {n}"


if __name__ == "__main__":
    print(tables(json.load(sys.stdin)))
