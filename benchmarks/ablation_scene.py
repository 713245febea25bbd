"""One way that pictures of a set are prepared, with and without alignment: what good parts and test pictures become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_naive import MapFigures
from engines.backbone import Backbone
from engines.features import FeatureExtractor
from engines.scoring_model import Float
from pipeline.evaluation import GOOD, find_pictures, read_mask, score_map_in_frame
from pipeline.good_parts import load_good_parts, picture_paths, read_picture
from pipeline.placing import align_all, learn_alignment, part_pixels
from pipeline.preparation import Preparation, Prepared
from pipeline.rig import Rig
from pipeline.train_settings import TrainSettings

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A test picture: prepared (None when it could not be aligned), its truth in the frame, the frame's size."""

    bad: bool
    seen: Prepared | None
    mask: Bool
    frame_size_px: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """`good` parts and `tests`, prepared alike; `foreground` (H, W) bool where they are scored, None: everywhere."""

    good: tuple[Prepared, ...]
    tests: tuple[Labelled, ...]
    foreground: Bool | None
    size_px: tuple[int, int]

    @classmethod
    def of(cls, data: Path, settings: TrainSettings, n_good: int | None) -> Scene:
        """The set at `data` (MVTec's layout), prepared as `settings` ask; models learn from `n_good` parts."""
        parts = load_good_parts(picture_paths(data / "train" / "good"))
        template, align, _ = learn_alignment(parts, settings, silent)
        preparation = Preparation.build(template, parts.colour, align)
        _, good, _ = align_all(parts, preparation, silent)
        tests = []
        for picture in find_pictures(data):
            frame = read_picture(picture.path, preparation.decode_rules)[0]
            seen = preparation.prepare(frame)[1]
            tests.append(Labelled(picture.kind != GOOD, seen, read_mask(picture, frame.size_px), frame.size_px))
        foreground = part_pixels(preparation, "part", None, parts.size_px)
        return cls(tuple(good[:n_good]), tuple(tests), foreground, preparation.input_size_px)

    def augmented(self, seed: int) -> Scene:
        """The same with a copy of every good part, turned by any angle and shifted by up to a tenth of a side."""
        rng = np.random.default_rng(seed)
        return replace(self, good=(*self.good, *(_moved(each, rng) for each in self.good)))

    def rig(self, backbone: Backbone, settings: TrainSettings) -> Rig:
        """What a training on this scene shares."""
        return Rig.build(backbone, self.size_px, self.foreground, settings)

    def project_tests(self, rig: Rig, projection: Float) -> NDArray[np.float16]:
        """(M, d, h, w) projected features of the test pictures that could be prepared."""
        extractor = FeatureExtractor(
            rig.backbone, self.size_px, projection=projection, n_threads=rig.settings.n_threads
        )
        seen = (each.seen for each in self.tests if each.seen is not None)
        return np.concatenate([extractor.features(each.tensor[None]).astype(np.float16) for each in seen])

    def judge(self, rig: Rig, grids: Float) -> MapFigures:
        """Figures in the frame of score grids (M, h, w) of the test pictures that could be prepared."""
        maps, scores = [], []
        following = iter(grids)
        for test in self.tests:
            if test.seen is None:
                maps.append(np.full(test.mask.shape, -np.inf, np.float32))
                scores.append(math.inf)
                continue
            score_map = rig.score_map(next(following), test.seen.valid)
            maps.append(score_map_in_frame(score_map, test.seen.transform, test.frame_size_px))
            scores.append(rig.mapper.frame_score(score_map))
        return _figures(self.tests, maps, np.array(scores))


def _figures(tests: Sequence[Labelled], maps: Sequence[NDArray[np.float32]], scores: NDArray[np.float64]) -> MapFigures:
    """What was not scored counts a little less than the lowest score, a frame that was not inspected most of all."""
    lowest = min(float(each[np.isfinite(each)].min(initial=np.inf)) for each in maps)
    filled = [np.where(np.isfinite(each), each, np.float32(lowest - 1e-3)).astype(np.float32) for each in maps]
    highest = float(scores[np.isfinite(scores)].max())
    finite = np.where(np.isfinite(scores), scores, highest + 1)
    return MapFigures.of(np.array([test.bad for test in tests]), finite, [test.mask for test in tests], filled)


def _moved(part: Prepared, rng: np.random.Generator) -> Prepared:
    """`part` turned and shifted, its border repeated outwards."""
    height, width = part.grey.shape
    turn_deg, shift = float(rng.uniform(0, 360)), rng.uniform(-0.1, 0.1, 2) * (width, height)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
    matrix = np.column_stack((turn[:, :2], turn[:, 2] + shift))
    planes = [
        cv2.warpAffine(plane, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for plane in part.tensor
    ]
    return replace(part, tensor=np.asarray(np.stack(planes), np.uint8))


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
