"""What is usual of a product's machine parameters, and how far a part's parameters are from it.

Good parts are described by one Gaussian. Of a part only the fields that are there are looked at, by the Gaussian of
just these: a missing field is left out of the sums, never filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHRINKAGE = 0.05
"""Weight of the identity in the correlation: fields that repeat one another would make it singular."""
_MOST = 12.0
"""Standard deviations beyond which nothing is told apart: a misread number must not drown the others."""


@dataclass(frozen=True, slots=True, eq=False)
class UsualFields:
    """`names` of the fields; `mean`, `scale` (F,) standard deviation and `correlation` (F, F) of good parts."""

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def n_described(self) -> int:
        """Numbers that describe a part."""
        return 2 * len(self.names) + 2

    @classmethod
    def learn(cls, names: tuple[str, ...], good: NDArray[np.float64]) -> UsualFields:
        """From `good` (n, F) parts, NaN where missing; a field that is never there, or never varies, tells nothing."""
        seen = ~np.isnan(good)
        n = np.maximum(seen.sum(0), 1)
        mean = np.where(seen, good, 0).sum(0) / n
        scale = np.sqrt(np.where(seen, (good - mean) ** 2, 0).sum(0) / n)
        scale = np.where(scale > 1e-9 * (1 + np.abs(mean)), scale, np.inf)
        z = np.clip(np.where(seen, (good - mean) / scale, 0), -_MOST, _MOST)
        both = np.maximum(seen.T.astype(float) @ seen, 1)
        covariance = z.T @ z / both
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
        correlation = np.clip(covariance / np.outer(spread, spread), -1, 1)
        shrunk = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(names))
        values, vectors = np.linalg.eigh(shrunk)  # pairs seen on different parts need not fit together
        shrunk = (vectors * np.maximum(values, _SHRINKAGE / 2)) @ vectors.T
        root = np.sqrt(np.diag(shrunk))
        return cls(names, mean, scale, shrunk / np.outer(root, root))

    def standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parts (n, F) in standard deviations of good parts, NaN where missing."""
        return np.asarray(np.clip((values - self.mean) / self.scale, -_MOST, _MOST), np.float64)

    def describe(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parts (n, F), NaN where missing, as (n, 2 F + 2).

        Each field in standard deviations; what of it the other fields there do not explain, in its own; then the
        mean square and the greatest of the latter. NaN where a field is missing, or where none is there.
        """
        z = self.standard(values)
        described = np.full((len(z), self.n_described), np.nan)
        described[:, : z.shape[1]] = z
        for row, part in zip(described, z, strict=True):
            there = np.flatnonzero(~np.isnan(part))
            if len(there) == 0:
                continue
            precision = np.linalg.inv(self.correlation[np.ix_(there, there)])
            weighted = precision @ part[there]
            own = weighted / np.sqrt(np.maximum(np.diag(precision), 1e-9))
            row[z.shape[1] + there] = own
            row[-2:] = part[there] @ weighted / len(there), np.abs(own).max()
        return described
