"""DeepPCB: each tested board against the one golden template it has, learnt by `train --variations`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_data import template_pairs
from engines.bundle import Bundle
from engines.geometry import working_size
from pipeline.bundling import train_bundle
from pipeline.evaluation import PIXEL_FIGURES_PX, map_in_frame
from pipeline.folder_inspection import inspect_files
from pipeline.inspection import Inspector, RecipeRules
from pipeline.metrics import au_pro, auroc, average_precision
from pipeline.training import TrainSettings
from schemas.verdict import Outcome

N_VARIATIONS = 40
INPUT_PX = 512
_CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BoardFigures:
    """Means over boards of the pixel figures, boxes being the truth; counts of boards and of marked defects.

    `n_templates_stopped`: golden templates that their own bundle does not pass, which are false calls.
    """

    n_boards: int
    n_stopped: int
    n_templates_stopped: int
    n_defects: int
    n_defects_found: int
    pixel_auroc: float
    pixel_ap: float
    au_pro: float


def judge_boards(n_boards: int, folder: Path, say: Callable[[str], None], seed: int = 0) -> BoardFigures:
    """Train on `n_boards` golden templates, one bundle each, and inspect the boards tested against them."""
    figures: list[tuple[float, float, float]] = []
    n_stopped = n_templates_stopped = n_defects = n_found = 0
    for number, (golden, tested, boxes) in enumerate(template_pairs(n_boards), 1):
        say(f"deeppcb: board {number} of {n_boards}")
        bundle = train_board(golden, folder / f"{golden.stem}-student.bundle", seed=seed)
        inspector = Inspector(bundle, backend="onnxruntime")
        rules = RecipeRules.of_manifest(inspector.bundle.manifest)
        template, board = inspect_files(inspector, [golden, tested], rules, lambda what, done, total: None)
        inspector.close()
        n_stopped += board.outcome is not Outcome.PASS
        n_templates_stopped += template.outcome is not Outcome.PASS
        found = [defect.bbox_px for defect in board.defects]
        n_defects += len(boxes)
        n_found += sum(any(_touch(box, other) for other in found) for box in boxes)
        figures.append(pixel_figures(map_in_frame(board), boxes, board.frame_size_px))
    means = np.mean(figures, axis=0)
    return BoardFigures(
        n_boards, n_stopped, n_templates_stopped, n_defects, n_found, float(means[0]), float(means[1]), float(means[2])
    )


def pixel_figures(
    score_map: NDArray[np.float32], boxes: Sequence[tuple[int, int, int, int]], frame_size_px: tuple[int, int]
) -> tuple[float, float, float]:
    """AUROC, AP and AU-PRO of a score map in the frame (-inf where nothing was scored), `boxes` being the truth."""
    width, height = working_size(frame_size_px, PIXEL_FIGURES_PX)
    truth = np.zeros((height, width), np.uint8)
    shrink = width / frame_size_px[0]
    for x1, y1, x2, y2 in boxes:
        corners = [round(shrink * value) for value in (x1, y1, x2, y2)]
        cv2.rectangle(truth, (corners[0], corners[1]), (corners[2], corners[3]), (1,), -1)
    lowest = float(score_map[np.isfinite(score_map)].min(initial=0.0))
    score_map = np.where(np.isfinite(score_map), score_map, np.float32(lowest - 1e-3)).astype(np.float32)
    mask = truth.astype(np.bool_)
    flat = (mask.ravel(), score_map.ravel())
    return auroc(*flat), average_precision(*flat), au_pro([mask], [score_map])


def train_board(
    golden: Path, out: Path, backbone: str = "student", weights: Path | None = None, seed: int = 0
) -> Bundle:
    """The bundle of one golden template and its variations, written to `out`; one that is there is taken as it is."""
    if out.is_file():
        return Bundle.open(out)
    train_bundle(
        golden.stem,
        [golden],
        [],
        backbone=backbone,
        weights=weights,
        colour="grey",
        settings=TrainSettings(input_px=INPUT_PX, seed=seed),
        created_at=_CREATED_AT,
        out=out,
        progress=lambda what, done, total: None,
        variations=N_VARIATIONS,
    )
    return Bundle.open(out)


def _touch(box: tuple[int, int, int, int], found: tuple[float, float, float, float]) -> bool:
    """Whether `box` (x1, y1, x2, y2) and `found` (x, y, w, h) share a pixel."""
    x, y, w, h = found
    return box[0] < x + w and x < box[2] and box[1] < y + h and y < box[3]
