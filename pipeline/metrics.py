"""Exact figures of merit of scores against truth: AUROC, average precision, AU-PRO; vectorised, ties counted right.

All take flat arrays, `truth` bool and `score` float (larger is more anomalous), of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Truth = NDArray[np.bool_]
Score = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap interval [low, high] of the stated coverage; nan where undefined."""

    value: float
    low: float
    high: float
    coverage: float


def auroc(truth: Truth, score: Score) -> float:
    """Area under the ROC curve: P(score of a true > score of a false) + half of P(equal); nan with one class only."""
    positives, negatives = _steps(truth, score)
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    above = np.cumsum(positives) - positives / 2
    return float((above * negatives).sum() / (n_positive * n_negative))


def average_precision(truth: Truth, score: Score) -> float:
    """Sum over thresholds of precision times the recall it adds (no interpolation); nan without positives."""
    positives, negatives = _steps(truth, score)
    total = float(positives.sum())
    if total == 0:
        return float("nan")
    found = np.cumsum(positives)
    return float((found / (found + np.cumsum(negatives)) * positives).sum() / total)


def best_f1(truth: Truth, score: Score) -> tuple[float, float]:
    """(greatest F1, its threshold: scores from it upward are called anomalous); (nan, nan) without positives."""
    order = np.argsort(-score, kind="stable")
    hits = truth[order]
    total = int(hits.sum())
    if total == 0:
        return float("nan"), float("nan")
    found = np.cumsum(hits)
    f1 = 2 * found / (np.arange(1, hits.size + 1) + total)
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    best = int(np.argmax(np.where(last_of_tie, f1, -1)))
    return float(f1[best]), float(score[order][best])


def au_pro(masks: Sequence[Truth], maps: Sequence[Score], max_fpr: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to `max_fpr`, divided by it.

    Args: masks, maps: (H, W) truth and score map of each picture, normal pictures included.
    Each connected region (8-neighbours) counts alike: PRO(t) is the mean over regions of the share of the
    region's pixels scoring t or more; FPR(t) the share of normal pixels that do. Exact: every score is a threshold.
    Returns: nan without regions or without normal pixels.
    Source: Bergmann et al., MVTec AD (IJCV 2021), section 5.2; figure named in 004 only as AUC.
    """
    weights, scores, n_regions = [], [], 0
    for mask, score in zip(masks, maps, strict=True):
        n_labels, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        n_regions += n_labels - 1
        per_label = np.zeros(n_labels)
        per_label[1:] = 1 / np.bincount(labels.ravel(), minlength=n_labels)[1:]
        weights.append(per_label[labels].ravel())
        scores.append(np.asarray(score, np.float32).ravel())
    weight, score_all = np.concatenate(weights), np.concatenate(scores)
    normal = weight == 0
    if n_regions == 0 or not normal.any():
        return float("nan")
    order = np.argsort(-score_all, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score_all[order]) != 0, True))
    fpr = np.append(0.0, np.cumsum(normal[order])[ends] / normal.sum())
    pro = np.append(0.0, np.cumsum(weight[order])[ends] / n_regions)
    return _area_up_to(fpr, pro, max_fpr) / max_fpr


def bootstrap(
    figure: Callable[[NDArray[np.int64]], float], n: int, seed: int, *, n_draws: int = 500, coverage: float = 0.95
) -> Interval:
    """Percentile interval of `figure`, which takes the indices (n,) of the pictures drawn with replacement.

    Draws on which the figure is undefined (nan) are left out.
    """
    rng = np.random.default_rng(seed)
    value = figure(np.arange(n))
    drawn = np.array([figure(rng.integers(0, n, n)) for _ in range(n_draws)])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size == 0:
        return Interval(value, float("nan"), float("nan"), coverage)
    low, high = np.quantile(drawn, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(value, float(low), float(high), coverage)


def wilson(n_hits: int, n: int, per: float = 1.0, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of the rate `n_hits` / `n`, times `per`; 95 % at the default `z`. `n` from 1 up."""
    rate, pull = n_hits / n, z * z / n
    middle = (rate + pull / 2) / (1 + pull)
    reach = z * float(np.sqrt(rate * (1 - rate) / n + pull / (4 * n))) / (1 + pull)
    return per * max(middle - reach, 0.0), per * min(middle + reach, 1.0)


def _steps(truth: Truth, score: Score) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Number of trues and of falses at each distinct score, from the greatest down."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.diff(score[order]) != 0, True)
    true_total = np.cumsum(truth[order])[ends]
    total = np.flatnonzero(ends) + 1
    positives = np.diff(true_total, prepend=0).astype(np.float64)
    return positives, np.diff(total, prepend=0) - positives


def _area_up_to(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Trapezoidal area under y(x), x ascending from 0, cut at x = `limit`."""
    inside = x <= limit
    x_cut = np.append(x[inside], limit)
    y_cut = np.append(y[inside], np.interp(limit, x, y))
    return float(np.trapezoid(y_cut, x_cut))
