"""The template of a product, drawn from good pictures: the one nearest to all others, its noise averaged out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align import Aligner
from engines.align_settings import AlignSettings
from engines.geometry import Size, warp_to_template
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

Grey = NDArray[np.uint8]
Report = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """`grey` (H, W) uint8; picture `index` is the one chosen, `n_averaged` how many were averaged onto it."""

    grey: Grey
    index: int
    n_averaged: int
    agreement: float
    """Median normalised correlation of the other good pictures with the chosen one."""


def silent(done: int, total: int) -> None:
    """Report nothing."""


def reduce_picture(picture: Grey, size: Size) -> Grey:
    """`picture` (h, w) resized to `size`, averaging where it shrinks."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = picture.shape[1] >= size[0] and picture.shape[0] >= size[1]
    return np.asarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


def choose_template(
    pictures: Sequence[Grey],
    template_size: Size,
    settings: AlignSettings,
    *,
    seed: int = 0,
    n_candidates: int = 8,
    n_judges: int = 16,
    n_averaged: int = 0,
    report: Report = silent,
) -> Template:
    """The good picture that agrees best with the others after alignment, at `template_size`.

    Args:
        pictures: (h, w) uint8 each, all of one size. template_size: (width, height).
        seed: which candidates and judges are drawn, when there are more pictures than that.
        n_averaged: 0 keeps the chosen picture as it is; else so many aligned good pictures are averaged with
            it, which lowers its noise and blurs what differs from part to part.
    Raises: SetupError when there is no picture, or none of them can be a template.
    """
    if not pictures:
        raise SetupError("no good pictures to choose a template from")
    order = np.random.default_rng(seed).permutation(len(pictures)).tolist()
    candidates, judges = order[:n_candidates], order[:n_judges]
    small = {i: reduce_picture(pictures[i], template_size) for i in judges}
    free = settings.model_copy(update={"residual_limit": 1.0, "sharpness_limit": 0.0, "mask_png": None})
    best: tuple[float, int] | None = None
    for done, index in enumerate(candidates):
        report(done, len(candidates))
        try:
            aligner = Aligner.build(small[index], free)
        except SetupError:
            continue
        results = [aligner.align(small[i]) for i in judges if i != index]
        scores = [1 - r.residual if r.status is not AlignmentStatus.MISALIGNED else 0.0 for r in results]
        score = float(np.median(scores)) if scores else 1.0
        if best is None or score > best[0]:
            best = (score, index)
    report(len(candidates), len(candidates))
    if best is None:
        raise SetupError(f"none of {len(candidates)} good pictures shows enough contrast to be a template")
    chosen = small[best[1]]
    if n_averaged > 1:
        averaged, n_used = _average(chosen, [pictures[i] for i in order[:n_averaged] if i != best[1]], free)
        return Template(averaged, best[1], n_used, best[0])
    return Template(chosen, best[1], 1, best[0])


def _average(chosen: Grey, others: Sequence[Grey], settings: AlignSettings) -> tuple[Grey, int]:
    """`chosen` averaged with `others` after alignment, each brought to its level and contrast."""
    aligner = Aligner.build(chosen, settings)
    size = (chosen.shape[1], chosen.shape[0])
    level, contrast = float(chosen[aligner.mask].mean()), float(chosen[aligner.mask].std())
    total, n_used = chosen.astype(np.float64), 1
    for picture in others:
        result = aligner.align(picture)
        if result.status is AlignmentStatus.MISALIGNED or result.inside < 1.0:
            continue
        warped = warp_to_template(picture, result.transform, size).astype(np.float64)
        part = warped[aligner.mask]
        total += (warped - part.mean()) * (contrast / max(float(part.std()), 1e-6)) + level
        n_used += 1
    return np.clip(np.rint(total / n_used), 0, 255).astype(np.uint8), n_used
