"""What the best that anybody could do on the simulated parts is: a judge who knows the machine that made them.

It knows every cause, how far each moves the printed numbers and how these vary, and takes what is there of them into
account by Bayes' rule. It is never mistaken about the dots: of a fault that changed any pixel that is left it sees
that, and of none where none is. So nobody can be better, but for chance; no network knows so much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.oanet_parts import NAMES
from benchmarks.oanet_run import SCENES, Scene
from engines.mask_learning import grid_mask
from pipeline.ase_dots import SIDE_PX
from pipeline.ase_line import BLOCK, PARAMETERS_SEVERITY, SEEN_IN, SEVERITIES, AseKind, AseLine
from pipeline.ase_parameters import FAULTS, PARAMETERS, draw_values, typical_values
from pipeline.oanet_training import lose_fields

N_PARTS = 2 * BLOCK
_N_GOOD = 6000
"""Good parts from which the judge takes how numbers vary."""
_N_SEVERITIES, _N_ANGLES = 7, 24
_CURRENT, _VOLTAGE, _POWER = (NAMES.index(name) for name in ("US Current", "US Voltage", "US Power"))
_ROUNDING = np.array([10.0**-each.decimals for each in PARAMETERS]) / np.sqrt(12)
"""Standard deviation of what rounding takes from each number."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldJudge:
    """`mean` (F,) and `covariance` (F, F) of good parts; what each of (M, F) faults shows on average."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    faults: NDArray[np.float64]
    log_shares: NDArray[np.float64]

    @classmethod
    def learn(cls, seed: int) -> FieldJudge:
        """From the machine itself: good parts of lots of their own, every cause at every severity and angle."""
        rng = np.random.default_rng([seed, 20])
        good = np.array([list(draw_values(rng, rng, 0.0).values()) for _ in range(_N_GOOD)])
        middles = np.linspace(*SEVERITIES, 2 * _N_SEVERITIES + 1)[1::2] * PARAMETERS_SEVERITY
        angles = np.arange(_N_ANGLES) * 2 * np.pi / _N_ANGLES
        faults = np.array([
            list(typical_values(fault, float(severity), side, float(angle)).values())
            for fault in FAULTS for severity in middles for side in (-1.0, 1.0) for angle in angles
        ])  # fmt: skip
        return cls(good.mean(0), np.cov(good.T), faults, np.full(len(faults), -np.log(len(faults))))

    def likelihood_ratio(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) how much likelier parts (n, F), NaN where missing, are among those with a fault than among good ones."""
        return np.array([self._ratio(*_independent(part)) for part in values])

    def _ratio(self, part: NDArray[np.float64], more: NDArray[np.float64]) -> float:
        there = np.flatnonzero(~np.isnan(part))
        if len(there) == 0:
            return 1.0
        precision = np.linalg.inv(self.covariance[np.ix_(there, there)] + np.diag(more[there]))
        off, moved = part[there] - self.mean[there], self.faults[:, there] - self.mean[there]
        weighted = moved @ precision
        nats = weighted @ off - (weighted * moved).sum(1) / 2 + self.log_shares
        return float(np.exp(np.logaddexp.reduce(nats)))


def _independent(part: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`part` with no number that follows from two others, and the variance (F,) that rounding adds.

    Power is current times voltage: with both of these it tells nothing, with one of them it is the other.
    """
    told, more = part.copy(), np.zeros(len(part))
    known = ~np.isnan(part[[_CURRENT, _VOLTAGE]])
    if np.isnan(part[_POWER]) or not known.any():
        return told, more
    told[_POWER] = np.nan
    if not known.all():
        other, missing = (_CURRENT, _VOLTAGE) if known[0] else (_VOLTAGE, _CURRENT)
        told[missing] = part[_POWER] / part[other]
        more[missing] = told[missing] ** 2 * sum((_ROUNDING[each] / part[each]) ** 2 for each in (_POWER, other))
    return told, more


def best_f1(scores: NDArray[np.float64], defective: NDArray[np.bool_]) -> float:
    """Greatest F1 of any threshold."""
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(defective[order]) / (np.arange(1, len(order) + 1) + defective.sum())
    return float(f1[np.append(np.diff(scores[order]) < 0, True)].max())


def bound(seed: int = 7, n_parts: int = N_PARTS, scenes: Sequence[Scene] = SCENES) -> dict[str, dict[str, float]]:
    """Scene -> `f1` of the judge and `f1_retention`, what that is of its F1 in the first of `scenes`."""
    line, judge = AseLine(seed), FieldJudge.learn(seed)
    parts = range(n_parts)
    values = np.array([list(line.draw_values(index).values()) for index in parts])
    kinds = [line.draw_kind(index) for index in parts]
    defective = np.array([kind is not AseKind.GOOD for kind, *_ in kinds])
    spoilt = np.array([looks in (AseKind.DOTS, AseKind.BOTH) for _, _, looks, _ in kinds])
    rng = np.random.default_rng([seed, 21])
    covered = np.array([
        bool(at) and not (line.fault_pixels(index) & ~grid_mask(SIDE_PX, rng)).any() for index, at in enumerate(spoilt)
    ])  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for scene in scenes:
        hidden = covered & scene.grid
        alike = np.random.default_rng([seed, 22])  # with and without a grid the same fields are missing
        ratio = judge.likelihood_ratio(lose_fields(values, alike, scene.missing))
        looks = _looks_defective(line, ratio, spoilt & ~hidden, float(hidden[spoilt].mean()))
        f1 = best_f1(looks, defective)
        kept = f1 / next(iter(found.values()))["f1"] if found else 1.0
        found[scene.name] = {"f1": round(f1, 4), "f1_retention": round(kept, 4)}
    return found


def _looks_defective(
    line: AseLine, ratio: NDArray[np.float64], seen: NDArray[np.bool_], hidden: float
) -> NDArray[np.float64]:
    """(n,) probability that a part looks defective. Args: hidden: share of the dots' faults that nobody can see."""
    rate = line.defect_rate * (1 - line.hidden) + (1 - line.defect_rate) * line.mimics
    in_dots, in_values, in_both = SEEN_IN
    odds = rate / (1 - rate) * (in_values * ratio + hidden * (in_dots + in_both * ratio))
    return np.where(seen, 1.0, odds / (1 + odds))
