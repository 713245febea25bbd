"""The naive inspection that everything is measured against: difference from the mean good picture, pixel by pixel.

No alignment and no features: a pixel's score is its distance from the good pictures' mean in units of their spread,
smoothed as our score maps are; a frame's score is its greatest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_template import reduce_picture
from engines.geometry import working_size
from pipeline.decode import DecodeRules
from pipeline.evaluation import GOOD, PIXEL_FIGURES_PX, Evaluation, find_pictures, read_mask
from pipeline.good_parts import picture_paths, read_picture
from pipeline.metrics import au_pro, auroc, average_precision

_SMOOTH_PX = 4.0
_LEAST_SPREAD_GREY = 4.0


@dataclass(frozen=True, slots=True)
class MapFigures:
    """Figures of any method's score maps and frame scores; pixel figures are nan without masks."""

    image_auroc: float
    pixel_auroc: float
    pixel_ap: float
    au_pro: float

    @classmethod
    def of_evaluation(cls, found: Evaluation) -> MapFigures:
        """Those of an evaluation; nan where it has none."""
        values = (found.image_auroc, found.pixel_auroc, found.pixel_ap, found.au_pro)
        return cls(*(float("nan") if value is None else value for value in values))

    @classmethod
    def of(
        cls, bad: NDArray[np.bool_], scores: NDArray[np.float64],
        masks: Sequence[NDArray[np.bool_]], maps: Sequence[NDArray[np.float32]],
    ) -> MapFigures:  # fmt: skip
        """`bad`, `scores` (n,); `masks`, `maps`: (H, W) each."""
        truth = np.concatenate([mask.ravel() for mask in masks])
        score = np.concatenate([score_map.ravel() for score_map in maps])
        return cls(auroc(bad, scores), auroc(truth, score), average_precision(truth, score), au_pro(masks, maps))


def judge_naively(data: Path) -> MapFigures:
    """The naive inspection learnt from `data`/train/good and judged on its test pictures."""
    good = np.stack([_grey(path) for path in picture_paths(data / "train" / "good")]).astype(np.float32)
    mean, spread = good.mean(0), np.maximum(good.std(0), _LEAST_SPREAD_GREY)
    maps, masks, bad = [], [], []
    for picture in find_pictures(data):
        away = np.abs(_grey(picture.path) - mean) / spread
        maps.append(np.asarray(cv2.GaussianBlur(away, (0, 0), _SMOOTH_PX), np.float32))
        frame = read_picture(picture.path, DecodeRules())[0]
        masks.append(read_mask(picture, frame.size_px))
        bad.append(picture.kind != GOOD)
    scores = np.array([float(score_map.max()) for score_map in maps])
    return MapFigures.of(np.array(bad), scores, masks, maps)


def _grey(path: Path) -> NDArray[np.float32]:
    """The picture at `path`, at most PIXEL_FIGURES_PX a side."""
    grey = read_picture(path, DecodeRules())[0].grey
    size = working_size((grey.shape[1], grey.shape[0]), PIXEL_FIGURES_PX)
    return reduce_picture(grey, size).astype(np.float32)
