"""Scores of a binary verdict: accuracy, recall, F1, AUROC, calibration error, area under risk and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import auroc


def scores(probability: NDArray[np.float64], defective: NDArray[np.bool_], threshold: float = 0.5) -> dict[str, float]:
    """Shares from 0 to 1; a part is called defective from `threshold` upward."""
    called = probability >= threshold
    hits = int((called & defective).sum())
    return {
        "accuracy": float((called == defective).mean()),
        "recall": hits / max(int(defective.sum()), 1),
        "f1": 2 * hits / max(int(called.sum() + defective.sum()), 1),
        "auroc": auroc(defective, probability),
    }


def calibration_error(probability: NDArray[np.float64], defective: NDArray[np.bool_], n_bins: int = 10) -> float:
    """Expected calibration error: mean over parts of |mean probability - share of defective| of their tenth."""
    bins = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    apart = [
        abs(float(probability[bins == k].mean()) - float(defective[bins == k].mean())) * (bins == k).mean()
        for k in np.unique(bins)
    ]
    return float(np.sum(apart))


def aurc(probability: NDArray[np.float64], defective: NDArray[np.bool_], threshold: float) -> float:
    """Mean error share over every coverage, the surest verdicts first."""
    order = np.argsort(-np.abs(probability - threshold), kind="stable")
    wrong = ((probability >= threshold) != defective)[order]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def summary(repeats: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean and, of several repeats, standard deviation of each figure."""
    found: dict[str, float] = {}
    for name in repeats[0]:
        values = np.array([each[name] for each in repeats])
        found[name] = round(float(values.mean()), 4)
        if len(values) > 1:
            found[f"{name}_sd"] = round(float(values.std(ddof=1)), 4)
    return found
