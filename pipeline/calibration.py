"""Thresholds from good parts alone, for a business target in false calls per 1000 good parts.

The scores of good parts that the fit has not seen are described above a high level by a generalised Pareto
distribution (peaks over threshold); the threshold is where its tail falls to the target. Because a few hundred
scores pin a tail down only roughly, the threshold taken is the upper confidence bound of that place over a
bootstrap, so the promise errs to the side of fewer false calls. Known defective parts, when there are any, take it down
from there, as far as it needs to stop them and no lower than where the tail itself says.
Source: Pickands 1975, Balkema & de Haan 1974 (the tail's shape); Hosking & Wallis 1987 (probability-weighted moments).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError
from schemas.verdict import Thresholds

DEFAULT_FALSE_CALLS_PER_1000 = 5.0
TRADE_OFF_PER_1000 = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
FAIL_RARITY = 10.0
"""A good part fails outright this many times more rarely than it is stopped at all."""
LEAST_SCORES = 10
N_HIGHEST = 3
"""How many of the good parts that score highest a person is asked to look at."""
_TAIL_SHARE = 0.25
_LEAST_PEAKS = 5
_SHAPE_LIMITS = (0.0, 0.35)
_SHAPE_PRIOR_PEAKS = 20.0
_N_BOOTSTRAP = 400
_CONFIDENCE = 0.95

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tail:
    """P(score > x) = `share` * (1 + shape (x - start) / scale)^(-1 / shape) for x >= `start`."""

    start: float
    scale: float
    shape: float
    share: float

    def level(self, probability: float) -> float:
        """The score that a good part exceeds with `probability`; at or above `start`."""
        ratio = max(self.share / probability, 1.0)
        if abs(self.shape) < 1e-6:
            return self.start + self.scale * float(np.log(ratio))
        return self.start + self.scale / self.shape * float(ratio**self.shape - 1)

    def exceedance(self, score: float) -> float:
        """P(a good part's score > `score`), for `score` at or above `start`; `share` below it."""
        if score <= self.start:
            return self.share
        reach = 1 + self.shape * (score - self.start) / self.scale
        if reach <= 0:
            return 0.0
        if abs(self.shape) < 1e-6:
            return self.share * float(np.exp(-(score - self.start) / self.scale))
        return self.share * float(reach ** (-1 / self.shape))


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """Thresholds with the false calls per 1000 expected at each: by the tail fit, and its upper bound."""

    thresholds: Thresholds
    target_per_1000: float
    expected_per_1000: float
    bound_per_1000: float
    confidence: float
    tail: Tail
    n_scores: int
    n_bad: int = 0


def fit_tail(scores: Scores) -> Tail:
    """The tail of `scores` (n,) from their upper quarter (at least five) on, by probability-weighted moments.

    The shape is drawn towards 0 (an exponential tail) as twenty extra peaks would draw it, and never below it: a
    tail that seems to end is not believed.
    """
    ordered = np.sort(scores)
    n_peaks = min(max(_LEAST_PEAKS, round(_TAIL_SHARE * ordered.size)), ordered.size - 1)
    start = float(ordered[-n_peaks - 1])
    excess = ordered[-n_peaks:] - start
    mean = max(float(excess.mean()), 1e-9 * max(abs(start), 1.0))
    rank = (n_peaks - np.arange(n_peaks) - 0.65) / n_peaks
    moment = float((excess * np.clip(rank, 0, 1)).mean())
    free = 2 - mean / max(mean - 2 * moment, 1e-12)
    shape = float(np.clip(free * n_peaks / (n_peaks + _SHAPE_PRIOR_PEAKS), *_SHAPE_LIMITS))
    return Tail(start, mean * (1 - shape), shape, n_peaks / ordered.size)


def calibrate_thresholds(
    scores: Scores, target_per_1000: float, seed: int = 0, bad: Scores | None = None
) -> CalibrationFit:
    """Thresholds for at most `target_per_1000` good parts in a thousand stopped (review or fail).

    Args: scores: (n,) frame scores of good parts the model was not fitted to. bad: (m,) those of defective parts: each
        threshold is as low as stops all of them that the target allows, counted by what is expected, not by its bound.
    Raises: InputError when there are too few scores or the target is out of range.
    """
    if scores.size < LEAST_SCORES:
        raise InputError(f"{scores.size} good parts are too few to calibrate with; give at least {LEAST_SCORES}")
    if not np.isfinite(scores).all():
        raise InputError("a good part has no finite score; calibrate with parts that lie fully in the frame")
    if not 0 < target_per_1000 <= 200:
        raise InputError(f"false calls per 1000 of {target_per_1000}: give a number above 0 and up to 200")
    probability = target_per_1000 / 1000
    rng = np.random.default_rng(seed)
    tail = fit_tail(scores)
    draws = [fit_tail(rng.choice(scores, scores.size)) for _ in range(_N_BOOTSTRAP)]
    known = np.array([]) if bad is None else bad
    review, fail = (
        _sharpened(_upper([draw.level(share) for draw in draws], tail.level(share)), tail.level(share), known)
        for share in (probability, probability / FAIL_RARITY)
    )
    fail = max(fail, review + 1e-6 * max(abs(review), 1.0))
    bound = float(np.quantile([draw.exceedance(review) for draw in draws], _CONFIDENCE))
    return CalibrationFit(
        Thresholds(review=review, fail=fail),
        target_per_1000,
        1000 * tail.exceedance(review),
        1000 * bound,
        _CONFIDENCE,
        tail,
        int(scores.size),
        int(known.size),
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What another target would do: its review threshold, and how many of some defective parts that stops."""

    false_calls_per_1000: float
    review: float
    n_stopped: int


def trade_off(scores: Scores, defective: Scores, seed: int = 0, bad: Scores | None = None) -> list[Choice]:
    """The usual targets side by side, on `scores` (n,) of good parts: what each stops of `defective` (m,).

    Args: bad: defective parts that the thresholds know (see `calibrate_thresholds`); others are only counted.
    """
    choices = []
    for target in TRADE_OFF_PER_1000:
        review = calibrate_thresholds(scores, target, seed, bad).thresholds.review
        choices.append(Choice(target, review, int((defective >= review).sum())))
    return choices


def with_refused(scores: Scores, n_given: int) -> Scores:
    """`scores` (m,) of those of `n_given` parts that could be inspected, and infinity for the others: none passes."""
    return np.append(scores, np.full(n_given - scores.size, np.inf))


def review_without_highest(
    scores: Scores, target_per_1000: float, seed: int = 0, bad: Scores | None = None
) -> float | None:
    """The review threshold that `scores` (n,) but the three highest ask for; None when too few would be left.

    Where it lies far below the one in force, a person's look at three parts is worth more than many parts more. It
    lies below that of few parts whatever they show: the highest of them always hold it up.
    Args: bad: as of `calibrate_thresholds`.
    """
    if scores.size - N_HIGHEST < LEAST_SCORES:
        return None
    return calibrate_thresholds(np.sort(scores)[:-N_HIGHEST], target_per_1000, seed, bad).thresholds.review


def trade_off_text(choices: Sequence[Choice], of: str) -> str:
    """A line for people. Args: of: what is stopped, in words, e.g. `these 20`."""
    each = (f"{choice.false_calls_per_1000:g} -> {choice.n_stopped}" for choice in choices)
    return f"false calls in 1000 -> of {of} stopped: " + ", ".join(each)


def outliers(scores: Scores) -> NDArray[np.bool_]:
    """(n,) bool: good parts so far above the others that they are hardly good.

    Farther from the median than six spreads of the upper half, on the scale of logarithms.
    """
    value = np.log(np.maximum(scores, 1e-9))
    middle = float(np.median(value))
    above = value[value >= middle] - middle
    spread = max(float(np.quantile(above, 0.6827)), 0.02)
    return np.asarray(value - middle > 6 * spread, np.bool_)


def _upper(levels: list[float], fitted: float) -> float:
    return max(float(np.quantile(levels, _CONFIDENCE)), fitted)


def _sharpened(careful: float, expected: float, bad: Scores) -> float:
    """The lowest score of a defective part from `expected` to `careful`, else `careful`."""
    between = bad[(bad >= expected) & (bad < careful)]
    return float(between.min()) if between.size else careful


def cell_threshold(grids: NDArray[np.float32], cells: NDArray[np.bool_]) -> float:
    """The score above which a grid cell counts as exceeding, for the sequential alarm on cells.

    At most one good cell in a thousand exceeds it, and no single place does so on more than one good part in eighty:
    a place that varies from part to part (a loose label, a glint) must not look like a mark that comes back.

    Args: grids: (n, h, w) held-out scores of good parts; cells: (n, h, w) True where a cell was seen whole.
    """
    overall = float(np.quantile(grids[cells], 0.999))
    rank = max(1, round(len(grids) / 80)) + 1
    if len(grids) < rank:
        return overall
    seen = np.where(cells, grids, -np.inf)
    each_place = np.partition(seen, len(seen) - rank, axis=0)[len(seen) - rank]
    return max(overall, float(each_place.max()))
