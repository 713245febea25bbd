"""The gate: how far each modality of a station is to be trusted now.

Each modality's divergence is the Kullback-Leibler divergence of what the station sent lately from the training set:
closed form on Gaussians of the picture's embedding, histograms for the fields; what a window of that length shows by
chance alone is taken off. The part's own missing share is added: fields that are missing, pixels that are lost. Weights
are a softmax of the negative sums; a modality that is markedly worse than the other is switched off.
Source: 000_51cdc475db3dfdae.txt section 3.4.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.verdict import Gate

N_BINS = 6
WINDOW_PARTS = 32
"""Parts of a station that say what it sends now."""
LEAST_PARTS = 8
"""Below so many parts a window says nothing."""
SHARPNESS = 3.0
"""Nats of weight for a nat of divergence a dimension."""
MISSING_COST = 2.0
"""Nats of weight for a modality that is missing altogether."""
SWITCH_OFF = 2.5
"""Nats by which a modality may be worse than the other before it is switched off."""
_GONE = 0.98
"""Missing share from which a modality is absent."""
_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class GateReference:
    """What training saw: `mean` and `variance` (E,) of the embedding, and a histogram of each field.

    `edges` (F, N_BINS - 1) between bins of about equal shares, `shares` (F, N_BINS) of parts in them.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def learn(cls, embeddings: NDArray[np.float64], fields: NDArray[np.float64]) -> GateReference:
        """From `embeddings` (n, E) and `fields` (n, F), NaN where missing; a field never seen fits anything."""
        variance = np.maximum(embeddings.var(0), _LEAST_VARIANCE)
        n_fields = fields.shape[1]
        edges, shares = np.full((n_fields, N_BINS - 1), np.inf), np.full((n_fields, N_BINS), 1 / N_BINS)
        for k in range(n_fields):
            seen = fields[~np.isnan(fields[:, k]), k]
            if len(seen):
                edges[k] = np.quantile(seen, np.arange(1, N_BINS) / N_BINS)
                shares[k] = _histogram(seen, edges[k])
        return cls(embeddings.mean(0), variance, edges, shares)

    def distance(self, embedding: NDArray[np.float64] | NDArray[np.float32]) -> float:
        """Log of the mean squared deviation of one part's `embedding` (E,) from training, in variances."""
        off = (embedding.astype(np.float64) - self.mean) ** 2 / self.variance
        return float(np.log(max(float(off.mean()), 1e-9)))

    def image_divergence(self, embeddings: NDArray[np.float64]) -> float:
        """Nats a dimension by which `embeddings` (n, E) diverge beyond chance; 0 for fewer than LEAST_PARTS."""
        n = len(embeddings)
        if n < LEAST_PARTS:
            return 0.0
        ratio = np.maximum(embeddings.var(0, ddof=1), _LEAST_VARIANCE) / self.variance
        off = (embeddings.mean(0) - self.mean) ** 2 / self.variance
        divergence = float(np.mean(ratio + off - 1 - np.log(ratio)) / 2)
        return max(divergence - (1 / n + 1 / (n - 1)) / 2, 0.0)

    def field_divergence(self, fields: NDArray[np.float64]) -> float:
        """Nats a field by which `fields` (n, F) diverge beyond chance; fields seen too rarely say nothing."""
        seen = ~np.isnan(fields)
        n = seen.sum(0)
        told = (n >= LEAST_PARTS) & np.isfinite(self.edges[:, 0])
        if not told.any():
            return 0.0
        bins = (fields[:, :, None] >= self.edges).sum(2)
        here = [(seen & (bins == k)).sum(0) for k in range(N_BINS)]
        now = (np.stack(here, 1) + 0.5) / (n + N_BINS / 2)[:, None]
        divergence = (now * np.log(now / self.shares)).sum(1) - (N_BINS - 1) / (2 * np.maximum(n, 1))
        return max(float(divergence[told].mean()), 0.0)


def _histogram(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N_BINS,) shares, half a part in every bin beforehand, so that none is empty."""
    counts = np.bincount(np.searchsorted(edges, values, "right"), minlength=N_BINS) + 0.5
    return np.asarray(counts / counts.sum(), np.float64)


@dataclass(frozen=True, slots=True)
class Trust:
    """Divergences in nats a dimension, missing shares 0 to 1, and the weights that follow."""

    image_divergence: float
    field_divergence: float
    image_missing: float
    fields_missing: float

    @property
    def gate(self) -> Gate:
        """The weights, as the verdict publishes them: they sum to 1."""
        image = SHARPNESS * self.image_divergence + MISSING_COST * self.image_missing
        fields = SHARPNESS * self.field_divergence + MISSING_COST * self.fields_missing
        image_gone, fields_gone = self.image_missing >= _GONE, self.fields_missing >= _GONE
        if fields_gone or (fields > image + SWITCH_OFF and not image_gone):
            return Gate(image=1.0, fields=0.0)
        if image_gone or image > fields + SWITCH_OFF:
            return Gate(image=0.0, fields=1.0)
        weight = float(1 / (1 + np.exp(image - fields)))
        return Gate(image=weight, fields=1 - weight)


class StationGate:
    """The rolling window of one station. The same parts in the same order, the same weights."""

    def __init__(self, reference: GateReference, window_parts: int = WINDOW_PARTS) -> None:
        self.reference = reference
        self._embeddings: deque[NDArray[np.float64]] = deque(maxlen=window_parts)
        self._fields: deque[NDArray[np.float64]] = deque(maxlen=window_parts)

    def update(self, embedding: NDArray[np.float64], fields: NDArray[np.float64], image_missing: float) -> Trust:
        """Take a part in and say how far to trust it.

        Args: embedding: (E,). fields: (F,), NaN where missing. image_missing: share of its picture that is lost.
        """
        self._embeddings.append(np.asarray(embedding, np.float64))
        self._fields.append(np.asarray(fields, np.float64))
        return Trust(
            self.reference.image_divergence(np.stack(self._embeddings)),
            self.reference.field_divergence(np.stack(self._fields)),
            image_missing,
            float(np.isnan(fields).mean()) if len(fields) else 1.0,
        )


def lost_share(crop: NDArray[np.uint8]) -> float:
    """Share of `crop` (..., H, W) planes-first or (H, W, 3) uint8 that is black in every colour: lost on its way."""
    axis = 0 if crop.shape[0] == 3 else -1
    return float((crop.max(axis) == 0).mean())
