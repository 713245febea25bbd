"""How good a bundle is on labelled pictures in MVTec's layout: test/<kind>/*.png, ground_truth/<kind>/*_mask.png.

Figures are computed in the frame, where the truth lives: score maps are warped back from the template. Pixels
outside the template, and frames that were not inspected, get the lowest score; as a frame, one that was not
inspected counts as the most anomalous, since it does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from engines.geometry import Transform, compose, invert, resize_transform, working_size
from pipeline.binned_metrics import BinnedMaps
from pipeline.folder_inspection import Progress, inspect_files
from pipeline.good_parts import PICTURE_SUFFIXES, picture_paths
from pipeline.inspection import Inspection, Inspector, RecipeRules
from pipeline.metrics import au_pro, auroc, average_precision, best_f1, bootstrap, wilson
from schemas.errors import InputError
from schemas.verdict import Outcome

GOOD = "good"
PIXEL_FIGURES_PX = 256
_SEED = 0


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A test picture: its kind (`good` or a defect's name) and its mask, None when there is none."""

    path: Path
    kind: str
    mask: Path | None


class Evaluation(BaseModel):
    """What `sightline evaluate` prints. Pixel figures are None without masks; rates are per 1000 parts.

    `intervals` (95 %): bootstrap over pictures, Wilson's for the two rates.
    """

    model_config = ConfigDict(frozen=True)

    bundle_sha256: str
    product: str
    backend: str
    n_good: int
    n_bad: int
    n_uninspected: int
    image_auroc: float | None
    image_ap: float | None
    image_f1: float | None
    best_f1: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    au_pro: float | None
    false_calls_per_1000: float | None
    escapes_per_1000: float | None
    intervals: dict[str, tuple[float, float]]
    escapes_by_kind: dict[str, tuple[int, int]]
    """kind -> (passed, of)."""


def find_pictures(data: Path) -> list[LabelledPicture]:
    """The test pictures under `data` (or `data`/test). Raises: InputError when the layout is not MVTec's."""
    root = data / "test" if (data / "test").is_dir() else data
    kinds = sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    if not kinds or not any(folder.name == GOOD for folder in kinds):
        raise InputError(
            f"{data} is not laid out as test/good, test/<defect>, ground_truth/<defect>: {root / GOOD} does not exist"
        )
    found = []
    for folder in kinds:
        for path in picture_paths(folder):
            mask = None if folder.name == GOOD else _mask_of(root.parent / "ground_truth" / folder.name, path.stem)
            found.append(LabelledPicture(path, folder.name, mask))
    return found


def evaluate(inspector: Inspector, data: Path, progress: Progress) -> Evaluation:
    """Inspect every test picture as the line would and compare with the truth.

    Raises: InputError for a wrong layout, an unreadable picture or a mask of another size than its picture.
    """
    pictures = find_pictures(data)
    rules = RecipeRules.of_manifest(inspector.bundle.manifest)
    answers: list[Inspection] = []
    maps: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.bool_]] = []
    each = inspect_files(inspector, [picture.path for picture in pictures], rules, progress)
    for picture, answer in zip(pictures, each, strict=True):
        answers.append(answer)
        maps.append(map_in_frame(answer))
        masks.append(read_mask(picture, answer.frame_size_px))
    bad = np.array([picture.kind != GOOD for picture in pictures])
    has_masks = any(picture.mask is not None for picture in pictures)
    figures, intervals = _image_figures(bad, answers)
    if has_masks:
        _add_pixel_figures(figures, intervals, masks, _comparable(maps))
    passed = np.array([answer.outcome is Outcome.PASS for answer in answers])
    kinds = sorted({picture.kind for picture in pictures} - {GOOD})
    of_kind = {kind: np.array([picture.kind == kind for picture in pictures]) for kind in kinds}
    return Evaluation.model_validate(
        {name: figures.get(name) for name in Evaluation.model_fields}
        | {
            "bundle_sha256": inspector.bundle.sha256,
            "product": inspector.bundle.manifest.product,
            "backend": inspector.backend,
            "n_good": int((~bad).sum()),
            "n_bad": int(bad.sum()),
            "n_uninspected": sum(answer.score is None for answer in answers),
            "intervals": intervals,
            "escapes_by_kind": {
                kind: (int(passed[chosen].sum()), int(chosen.sum())) for kind, chosen in of_kind.items()
            },
        }
    )


def map_in_frame(answer: Inspection) -> NDArray[np.float32]:
    """The score map in the frame, at most PIXEL_FIGURES_PX a side; -inf where nothing was scored."""
    size = working_size(answer.frame_size_px, PIXEL_FIGURES_PX)
    if answer.score_map is None or answer.transform is None:
        return np.full((size[1], size[0]), -np.inf, np.float32)
    return score_map_in_frame(answer.score_map, answer.transform, answer.frame_size_px)


def score_map_in_frame(
    score_map: NDArray[np.float32], transform: Transform, frame_size_px: tuple[int, int]
) -> NDArray[np.float32]:
    """`score_map` (H, W) on the template, brought to the frame by `transform` (template px -> frame px)."""
    size = working_size(frame_size_px, PIXEL_FIGURES_PX)
    scored = np.isfinite(score_map)
    lowest = float(score_map[scored].min())
    to_template = compose(invert(transform), resize_transform(size, frame_size_px))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    filled = np.where(scored, score_map, np.float32(lowest))
    scores = cv2.warpAffine(filled, to_template, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    reached = cv2.warpAffine(scored.astype(np.float32), to_template, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return np.where(reached >= 0.5, scores, np.float32(-np.inf)).astype(np.float32)


def read_mask(picture: LabelledPicture, frame_size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """The truth at the size of `map_in_frame`: true where more than half of a pixel is covered."""
    size = working_size(frame_size_px, PIXEL_FIGURES_PX)
    if picture.mask is None:
        return np.zeros((size[1], size[0]), np.bool_)
    mask = cv2.imread(str(picture.mask), cv2.IMREAD_GRAYSCALE)
    if mask is None or (mask.shape[1], mask.shape[0]) != frame_size_px:
        found = "is no picture" if mask is None else f"is {mask.shape[1]}x{mask.shape[0]} px"
        raise InputError(f"mask {picture.mask} {found}; its picture has {frame_size_px[0]}x{frame_size_px[1]} px")
    covered = cv2.resize((mask > 127).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(covered > 0.5, np.bool_)


def _mask_of(folder: Path, stem: str) -> Path | None:
    for name in (f"{stem}_mask", stem):
        for suffix in PICTURE_SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    return None


def _comparable(maps: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Maps with -inf replaced by a little less than the lowest score of all."""
    lowest = min((float(m[np.isfinite(m)].min()) for m in maps if np.isfinite(m).any()), default=0.0)
    return [np.where(np.isfinite(m), m, np.float32(lowest - 1e-3)).astype(np.float32) for m in maps]


def _image_figures(
    bad: NDArray[np.bool_], answers: Sequence[Inspection]
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    highest = max((answer.score for answer in answers if answer.score is not None), default=0.0)
    score = np.array([highest + 1 if answer.score is None else answer.score for answer in answers])
    passed = np.array([answer.outcome is Outcome.PASS for answer in answers])
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    n_good, n_bad = int((~bad).sum()), int(bad.sum())
    n_called, n_escaped = int((~passed & ~bad).sum()), int((passed & bad).sum())
    figures["false_calls_per_1000"] = 1000 * n_called / n_good
    intervals["false_calls_per_1000"] = wilson(n_called, n_good, 1000)
    if n_bad == 0:
        return figures, intervals
    figures["escapes_per_1000"] = 1000 * n_escaped / n_bad
    intervals["escapes_per_1000"] = wilson(n_escaped, n_bad, 1000)
    for name, figure in (("image_auroc", auroc), ("image_ap", average_precision)):
        found = bootstrap(lambda drawn, figure=figure: figure(bad[drawn], score[drawn]), len(bad), _SEED)  # type: ignore[misc]
        figures[name], intervals[name] = found.value, (found.low, found.high)
    n_hit = n_bad - n_escaped
    figures["image_f1"] = 2 * n_hit / (n_hit + n_called + n_bad)
    figures["best_f1"] = best_f1(bad, score)[0]
    return figures, intervals


def _add_pixel_figures(
    figures: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    masks: Sequence[NDArray[np.bool_]],
    maps: Sequence[NDArray[np.float32]],
) -> None:
    """Exact figures over all pixels; their intervals from scores put into bins."""
    truth = np.concatenate([mask.ravel() for mask in masks])
    score = np.concatenate([score_map.ravel() for score_map in maps])
    figures["pixel_auroc"], figures["pixel_ap"] = auroc(truth, score), average_precision(truth, score)
    figures["au_pro"] = au_pro(masks, maps)
    binned = BinnedMaps.build(masks, maps)
    for name in ("pixel_auroc", "pixel_ap", "au_pro"):
        found = bootstrap(getattr(binned, name), len(masks), _SEED, n_draws=300)
        intervals[name] = (found.low, found.high)
