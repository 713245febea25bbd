"""Does the layout fit this frame: the printed names, which never change, looked for where the layout has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SetupError
from schemas.layout import Layout
from schemas.verdict import Box

REACH_PX = 3
"""Largest motion of the panel along each axis that is found."""
LEAST_CORRELATION = 0.6
_GOOD_CORRELATION = 0.93
_PIXELS = 96
"""Sampled of every name: half on the print, half beside it."""
_LEAST_CONTRAST = 24
Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Anchored:
    """How the panel lies: (dx, dy) px against the layout, and which names are where they belong (n,) bool."""

    dx_px: int
    dy_px: int
    found: NDArray[np.bool_]
    correlations: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """Sampled pixels of names: `places` (n, _PIXELS) indices into a flat frame, `prints` (n, _PIXELS) normalised."""

    width_px: int
    places: NDArray[np.int64]
    prints: NDArray[np.float32]
    motions: tuple[tuple[int, int], ...]

    @classmethod
    def build(cls, layout: Layout, reference: Grey) -> Anchors:
        """Raises: SetupError when the picture is not the layout's, or a name's box shows no print."""
        width, height = layout.frame_size_px
        if reference.shape != (height, width):
            raise SetupError(
                f"the layout's picture is {reference.shape[1]}x{reference.shape[0]} px, its frames {width}x{height}: "
                "find the layout again with `sightline layout`"
            )
        places = np.stack([_sample(reference, field.name, field.name_px) for field in layout.fields])
        reach = range(-REACH_PX, REACH_PX + 1)
        motions = sorted(((dx, dy) for dx in reach for dy in reach), key=lambda move: abs(move[0]) + abs(move[1]))
        return cls(width, places, _normalised(reference.ravel()[places]), tuple(motions))

    def find(self, grey: Grey) -> Anchored:
        """Where the names lie in `grey` (H, W) uint8 of the layout's size.

        Motions are tried from none outward; the first at which nearly every name is plain to see is taken.
        """
        flat = grey.ravel()
        best: Anchored | None = None
        for dx, dy in self.motions:
            seen = _normalised(flat.take(self.places + (dy * self.width_px + dx), mode="clip"))
            correlations = np.einsum("ij,ij->i", seen, self.prints).astype(np.float64)
            at = Anchored(dx, dy, correlations >= LEAST_CORRELATION, correlations)
            if best is None or np.median(correlations) > np.median(best.correlations):
                best = at
            if np.median(correlations) >= _GOOD_CORRELATION:
                break
        assert best is not None
        return best


def _sample(reference: Grey, name: str, box: Box) -> NDArray[np.int64]:
    """Flat indices of the name's brightest and darkest pixels, drawn evenly from what its box shows."""
    x, y, w, h = box
    window = reference[y : y + h, x : x + w].astype(np.int64)
    if int(np.percentile(window, 97) - np.percentile(window, 10)) < _LEAST_CONTRAST:
        raise SetupError(
            f"field {name!r}: name_px {list(box)} shows no print in the layout's picture; correct the box, or find "
            "the layout again"
        )
    rows, columns = np.indices(window.shape)
    flat = ((rows + y) * reference.shape[1] + columns + x).ravel()
    order = np.argsort(window.ravel(), kind="stable")
    half, light = _PIXELS // 2, _is_light(window)
    n_inked = max(len(order) // 10, half)
    inked = order[-n_inked:] if light else order[:n_inked]
    ground = order[: len(order) // 2] if light else order[len(order) // 2 :]
    return np.concatenate((flat[_spread(np.sort(inked), half)], flat[_spread(np.sort(ground), half)]))


def _is_light(window: NDArray[np.int64]) -> bool:
    """Whether the print is lighter than its ground, which is most of the box."""
    return bool(window.max() - np.median(window) > np.median(window) - window.min())


def _spread(indices: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return indices[np.linspace(0, len(indices) - 1, n).round().astype(np.int64)]


def _normalised(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """(n, p) with mean 0 and length 1 along p; an even patch becomes nearly nothing."""
    centred = pixels.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None]
    return np.asarray(centred / np.maximum(length, 8.0 * np.sqrt(pixels.shape[1])), np.float32)
