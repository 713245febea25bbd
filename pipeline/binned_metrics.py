"""Pixel figures of any draw of pictures, fast: scores in bins, counted once a picture (for bootstrap intervals)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
_N_BINS = 2048
MAX_FPR = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class BinnedMaps:
    """Per picture and bin, from the highest score down, (n, bins): normal pixels, true pixels, and region shares.

    A region's share of a bin is the part of its pixels there; `n_regions` (n,) counts the regions.
    """

    normal: Counts
    true: Counts
    share: Counts
    n_regions: Counts

    @classmethod
    def build(cls, masks: Sequence[NDArray[np.bool_]], maps: Sequence[NDArray[np.float32]]) -> Self:
        """Bins hold about as many pixels each, finer towards the highest scores."""
        everything = np.concatenate([score_map.ravel() for score_map in maps])
        tail = 1 - np.logspace(-6, 0, _N_BINS)
        edges = np.unique(np.quantile(everything, tail))[::-1]
        n, n_bins = len(maps), len(edges) + 1
        normal, true, share = (np.zeros((n, n_bins)) for _ in range(3))
        n_regions = np.zeros(n)
        for i, (mask, score_map) in enumerate(zip(masks, maps, strict=True)):
            bins = len(edges) - np.searchsorted(edges[::-1], score_map.ravel(), side="right")
            flat = mask.ravel()
            normal[i] = np.bincount(bins[~flat], minlength=n_bins)
            true[i] = np.bincount(bins[flat], minlength=n_bins)
            n_labels, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            sizes = np.maximum(np.bincount(labels.ravel(), minlength=n_labels), 1)
            weight = np.where(flat, 1 / sizes[labels.ravel()], 0)
            share[i] = np.bincount(bins, weights=weight, minlength=n_bins)
            n_regions[i] = n_labels - 1
        return cls(normal, true, share, n_regions)

    def pixel_auroc(self, drawn: NDArray[np.int64]) -> float:
        """Area under the ROC curve over the pixels of the pictures `drawn`."""
        normal, true = self.normal[drawn].sum(0), self.true[drawn].sum(0)
        if true.sum() == 0 or normal.sum() == 0:
            return float("nan")
        return float(((np.cumsum(true) - true / 2) * normal).sum() / (true.sum() * normal.sum()))

    def pixel_ap(self, drawn: NDArray[np.int64]) -> float:
        """Average precision over the pixels of the pictures `drawn`."""
        normal, true = self.normal[drawn].sum(0), self.true[drawn].sum(0)
        if true.sum() == 0:
            return float("nan")
        found = np.cumsum(true)
        precision = found / np.maximum(found + np.cumsum(normal), 1)
        return float((precision * true).sum() / true.sum())

    def au_pro(self, drawn: NDArray[np.int64]) -> float:
        """Area under the per-region-overlap curve to a false positive rate of 0.3, over the pictures `drawn`."""
        normal, regions = self.normal[drawn].sum(0), self.n_regions[drawn].sum()
        if regions == 0 or normal.sum() == 0:
            return float("nan")
        fpr = np.append(0.0, np.cumsum(normal) / normal.sum())
        pro = np.append(0.0, np.cumsum(self.share[drawn].sum(0)) / regions)
        inside = fpr <= MAX_FPR
        x, y = np.append(fpr[inside], MAX_FPR), np.append(pro[inside], np.interp(MAX_FPR, fpr, pro))
        return float(np.trapezoid(y, x) / MAX_FPR)
