"""Good parts with generated defects, as places to learn from: outlier exposure for the mapping network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.defect_generation import changed_cells, generate_defects
from engines.features import FeatureExtractor
from engines.mapping_fit import Exposure, MappingSettings
from pipeline.preparation import Prepared

Bool = NDArray[np.bool_]
_MOST_PLACES = 1024
"""Untouched places that are kept of one picture, drawn at random."""


def expose(
    extractor: FeatureExtractor,
    aligned: Sequence[Prepared],
    scored: Sequence[Bool | None],
    cells: Bool,
    settings: MappingSettings,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> Exposure:
    """Generated defects on good parts, and the features of the places they show at and of those they leave alone.

    Args: extractor: of projected features. scored: (H, W) bool a part, where defects may lie; None: anywhere.
        cells: (N, h, w) bool, the cells that count.
    """
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(aligned))
    found: list[Exposure] = []
    for done in range(settings.exposures):
        progress("defects to learn from", done, settings.exposures)
        index = int(order[done % len(order)])
        spoilt, changed = generate_defects(rng, aligned[index].picture, scored[index], settings.defects)
        features = extractor.of_picture(spoilt)[0]
        found.append(_places(rng, features, changed, cells[index], index, extractor.grid_stride_px))
    progress("defects to learn from", settings.exposures, settings.exposures)
    return Exposure(
        np.concatenate([each.features for each in found]),
        np.concatenate([each.places for each in found]),
        np.concatenate([each.shows for each in found]),
        np.concatenate([each.parts for each in found]),
    )


def _places(
    rng: np.random.Generator, features: NDArray[np.float32], changed: Bool, counted: Bool, part: int, stride_px: int
) -> Exposure:
    """The places of one picture with `features` (d, h, w)."""
    shows, untouched = changed_cells(changed, stride_px)
    bad = np.flatnonzero(shows & counted)
    good = rng.permutation(np.flatnonzero(untouched & counted))[:_MOST_PLACES]
    places = np.concatenate((bad, good))
    flat = features.reshape(len(features), -1)[:, places].T.astype(np.float16)
    return Exposure(flat, places, np.arange(len(places)) < len(bad), np.full(len(places), part))
