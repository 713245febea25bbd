"""The final verdict of OANet: the voices of image, fields and both, weighted by the gate.

A voice's evidence is -log(1 - p): evidence adds up, so that a defect seen by one modality is not voted down by another
that cannot see it. Weighted evidence becomes a calibrated probability by a logistic fit on parts that nothing learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST = 2.5
"""Evidence of a voice that is certain: no voice is surer than 11 of 12, for labels err, too."""
_RIDGE = 1e-2
_N_STEPS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """Probabilities (n,) of a defect, and the gate's weights (n,) of the picture; those of the fields are 1 less it."""

    image: NDArray[np.float64]
    fields: NDArray[np.float64]
    fused: NDArray[np.float64]
    image_weight: NDArray[np.float64]

    def evidence(self) -> NDArray[np.float64]:
        """(n, 3): image, fields, fused, each by the root of its weight; the fused voice needs both.

        The root, for network and trees know by themselves what a part lacks: the whole weight would count that twice.
        """
        image, fields = self.image_weight, 1 - self.image_weight
        voices = (self.image, self.fields, self.fused)
        evidence = np.stack([np.minimum(-np.log(np.maximum(1 - each, 1e-9)), _MOST) for each in voices], 1)
        return np.asarray(evidence * np.sqrt(np.stack([2 * image, 2 * fields, 4 * image * fields], 1)), np.float64)


@dataclass(frozen=True, slots=True)
class FusionRule:
    """`weights` of the evidence, none negative, `offset` in log odds; parts from `threshold` upward are defective."""

    weights: tuple[float, float, float]
    offset: float
    threshold: float

    def probability(self, voices: Voices) -> NDArray[np.float64]:
        """(n,) of a defect."""
        return _sigmoid(voices.evidence() @ np.array(self.weights) + self.offset)

    @classmethod
    def fit(cls, voices: Voices, defective: NDArray[np.bool_]) -> FusionRule:
        """By maximum likelihood on parts that no voice learnt; the threshold is that of the best F1.

        Raises: ValueError unless there are good and defective parts.
        """
        if defective.all() or not defective.any():
            raise ValueError("the fusion rule needs good and defective parts")
        evidence = voices.evidence()
        used = [0, 1, 2]
        while True:
            found = _logistic(evidence[:, used], defective)
            worst = int(np.argmin(found[:-1])) if used else 0
            if not used or found[worst] >= 0:
                break
            used.pop(worst)  # evidence that speaks against itself is left out
        weights = [0.0, 0.0, 0.0]
        for place, weight in zip(used, found[:-1], strict=True):
            weights[place] = float(weight)
        rule = cls((weights[0], weights[1], weights[2]), float(found[-1]), 0.5)
        return cls(rule.weights, rule.offset, best_threshold(rule.probability(voices), defective))


def best_threshold(probability: NDArray[np.float64], defective: NDArray[np.bool_]) -> float:
    """Half of the greatest F1 that any threshold reaches: where F1 is greatest when probabilities are calibrated.

    Picking the threshold that happened to be best among a few hundred parts would be noisier.
    Source: Lipton et al., Optimal Thresholding of Classifiers to Maximize F1 Measure (2014), theorem 1.
    """
    order = np.argsort(-probability, kind="stable")
    f1 = 2 * np.cumsum(defective[order]) / (np.arange(1, len(order) + 1) + defective.sum())
    ends = np.append(probability[order][1:] < probability[order][:-1], True)
    return float(f1[ends].max() / 2)


def _logistic(inputs: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(k + 1,) weights and offset, by Newton's method with a slight ridge on the weights."""
    design = np.column_stack((inputs, np.ones(len(inputs))))
    ridge = np.diag([_RIDGE * len(inputs) / 100] * inputs.shape[1] + [1e-9])
    found = np.zeros(design.shape[1])
    for _ in range(_N_STEPS):
        p = _sigmoid(design @ found)
        slope = design.T @ (truth - p) - ridge @ found
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + ridge + 1e-9 * np.eye(len(found)), slope)
        found += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return found


def _sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -60, 60))), np.float64)
