"""How machine parameters lie on defective parts: a few causes, each of which moves several numbers at once.

Defective parts are a mixture: such as look like good ones, by the Gaussian of these, and clusters with a mean and a
covariance of their own. Of a part only the fields that are there are looked at, by the Gaussians of just these, so that
a few of them that were moved together still tell; a missing field is never filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CAUSES, PARTS_A_CAUSE = 8, 15
"""Clusters at most, and defective parts for which there is one."""
_LIKE_GOOD = 100.0
"""Good parts that count in every cluster's covariance, for 30 parts tell little of 16 fields."""
_N_STARTS, _N_STEPS = 3, 40
_MOST = 12.0
"""Nats beyond which nothing is told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class FaultCauses:
    """`shares` (K + 1,), `means` (K + 1, F), `covariances` (K + 1, F, F) in standard deviations of good parts.

    The first is that of good parts.
    """

    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = [each.shape for each in (self.shares, self.means, self.covariances)]
        n, fields = shapes[0][:1], shapes[1][1:]
        if not n or len(fields) != 1 or shapes != [n, n + fields, n + fields + fields]:
            raise ValueError(f"causes of shapes {shapes}; wanted are (K,), (K, F) and (K, F, F)")

    @classmethod
    def learn(cls, good: NDArray[np.float64], defective: NDArray[np.float64], seed: int = 0) -> FaultCauses:
        """By expectation and maximisation, the likeliest of a few starts.

        Args: good: (F, F) correlation of good parts. defective: (n, F) parts in standard deviations, NaN where missing.
        """
        n_causes = min(MOST_CAUSES, len(defective) // PARTS_A_CAUSE)
        starts = [_start(good, defective, n_causes, np.random.default_rng([seed, k])) for k in range(_N_STARTS)]
        best, likeliest = starts[0], -np.inf
        for start in starts:
            causes = start
            for _ in range(_N_STEPS if n_causes else 0):
                causes = _step(causes, defective)
            likelihood = float(_total(causes._log_shares(defective)).sum())
            if likelihood > likeliest:
                best, likeliest = causes, likelihood
        return best

    def log_ratio(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) nats by which parts (n, F) are likelier among defective than among good ones; 0 where nothing is known.

        Args: values: in standard deviations of good parts, NaN where missing.
        """
        found = self._log_shares(values)
        nats = _total(found) - (found[:, 0] - np.log(self.shares[0]))
        return np.asarray(np.clip(nats, -_MOST, _MOST), np.float64)

    def _log_shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, K + 1) log of share times density of what is there of each part."""
        found = np.tile(np.log(self.shares), (len(values), 1))
        for number, part in enumerate(values):
            there = np.flatnonzero(~np.isnan(part))
            if len(there) == 0:
                continue
            root = np.linalg.cholesky(self.covariances[:, there[:, None], there])
            off = np.linalg.solve(root, (part[there] - self.means[:, there])[:, :, None])[:, :, 0]
            found[number] -= (off**2).sum(1) / 2 + np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)
        return found


def _total(log_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) log of the sum over the last axis."""
    return np.asarray(np.logaddexp.reduce(log_shares, axis=1), np.float64)


def _start(
    good: NDArray[np.float64], defective: NDArray[np.float64], n_causes: int, rng: np.random.Generator
) -> FaultCauses:
    """Clusters around parts drawn far from good ones and from one another."""
    centres = np.zeros((1, len(good)))
    for _ in range(n_causes):
        off = np.nan_to_num(defective[:, None] - centres)
        far = np.einsum("nki,ij,nkj->nk", off, np.linalg.inv(good), off).min(1)
        far = np.maximum(far, 1e-9)
        centres = np.vstack((centres, np.nan_to_num(defective[rng.choice(len(far), p=far / far.sum())])))
    shares = np.full(n_causes + 1, 1 / (n_causes + 1))
    return FaultCauses(shares, centres, np.tile(good, (n_causes + 1, 1, 1)))


def _step(causes: FaultCauses, defective: NDArray[np.float64]) -> FaultCauses:
    """One step: whose each part is, then the clusters that follow; the first stays that of good parts."""
    found = causes._log_shares(defective)
    whose = np.exp(found - _total(found)[:, None])
    seen = ~np.isnan(defective)
    means, covariances = causes.means.copy(), causes.covariances.copy()
    good = covariances[0]
    for k in range(1, len(means)):
        weight = whose[:, k, None] * seen
        amount = weight.sum(0)
        means[k] = np.where(amount > 1e-9, np.nansum(weight * defective, 0) / np.maximum(amount, 1e-9), 0)
        off = np.nan_to_num(defective - means[k])
        pairs = weight.T @ seen
        covariance = ((whose[:, k, None] * off).T @ off + _LIKE_GOOD * good) / (pairs + _LIKE_GOOD)
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)  # pairs seen on different parts
        covariances[k] = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    shares = (whose.sum(0) + 1) / (len(defective) + whose.shape[1])
    return FaultCauses(shares, means, covariances)
