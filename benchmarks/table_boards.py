"""DeepPCB in the table: each tested board against what was learnt from its one golden template, by us and by the peers.

Peers are given what we are: the template and its variations (`train --variations`), brought onto the template by our
alignment. Figures are means over boards, the labels' boxes being the truth; a frame's score says nothing here, as each
template has one bad board and no good one to tell it from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_boards import N_VARIATIONS, pixel_figures, train_board
from benchmarks.accuracy_data import template_pairs
from benchmarks.progress import say
from benchmarks.result import Json
from benchmarks.rows import defined
from benchmarks.table_peers import Peer, Stages
from engines.backbone_resnet import load_resnet18
from engines.bundle import Bundle
from pipeline.evaluation import map_in_frame, score_map_in_frame
from pipeline.folder_inspection import inspect_files
from pipeline.good_parts import load_good_parts, read_picture
from pipeline.inspection import Inspector, RecipeRules
from pipeline.preparation import Preparation
from pipeline.variations import with_variations

N_BOARDS = 4
"""Every other one of those that `bench accuracy` judges."""
_Boxes = list[tuple[int, int, int, int]]
_Figures = tuple[float, float, float]


def judge_boards_beside(
    folder: Path, weights: Path, peers: Mapping[str, Callable[[Stages], Peer]], n_boards: int = N_BOARDS
) -> dict[str, Json]:
    """A row a method. Args: weights: ResNet-18's; peers: by name."""
    found: dict[str, list[_Figures]] = {}
    seconds: dict[str, float] = {}
    for number, (golden, tested, boxes) in enumerate(template_pairs(2 * n_boards)[::2], 1):
        say(f"deeppcb: board {number} of {n_boards}")
        bundle: Bundle | None = None
        for backbone in ("resnet18", "student"):
            start = time.monotonic()
            given = weights if backbone == "resnet18" else None
            bundle = train_board(golden, folder / f"{golden.stem}-{backbone}.bundle", backbone, given)
            found.setdefault(f"ours {backbone}", []).append(_judge_ours(bundle, tested, boxes))
            seconds[f"ours {backbone}"] = seconds.get(f"ours {backbone}", 0) + time.monotonic() - start
        if bundle is None:
            continue
        preparation = Preparation.of_bundle(bundle)
        good = _learnt_from(golden, preparation)
        stages = Stages(load_resnet18(weights), preparation.input_size_px)
        for name, kind in peers.items():
            start = time.monotonic()
            peer = kind(stages)
            peer.fit(good)
            found.setdefault(name, []).append(_judge_peer(peer, preparation, tested, boxes))
            seconds[name] = seconds.get(name, 0) + time.monotonic() - start
    rows: dict[str, Json] = {}
    for name, figures in found.items():
        means = dict(zip(("pixel_auroc", "pixel_ap", "au_pro"), map(float, np.mean(figures, axis=0)), strict=True))
        rows[f"deeppcb/{name}/aligned"] = defined(means) | {"image_auroc": None, "seconds": round(seconds[name], 1)}
        say(f"deeppcb/{name}/aligned: {rows[f'deeppcb/{name}/aligned']}")
    return rows


def _learnt_from(golden: Path, preparation: Preparation) -> list[NDArray[np.uint8]]:
    """(3, H, W) tensors of the template and its variations, those that align."""
    good = with_variations(load_good_parts([golden], "grey", least=1), N_VARIATIONS, seed=0)
    prepared = (preparation.prepare(picture)[1] for picture in good.pictures)
    return [np.ascontiguousarray(each.tensor) for each in prepared if each is not None]


def _judge_ours(bundle: Bundle, tested: Path, boxes: _Boxes) -> _Figures:
    inspector = Inspector(bundle, backend="onnxruntime")
    try:
        rules = RecipeRules.of_manifest(bundle.manifest)
        board = next(iter(inspect_files(inspector, [tested], rules, lambda what, done, total: None)))
    finally:
        inspector.close()
    return pixel_figures(map_in_frame(board), boxes, board.frame_size_px)


def _judge_peer(peer: Peer, preparation: Preparation, tested: Path, boxes: _Boxes) -> _Figures:
    frame = read_picture(tested, preparation.decode_rules)[0]
    seen = preparation.prepare(frame)[1]
    if seen is None:
        return pixel_figures(np.full((1, 1), -np.inf, np.float32), boxes, frame.size_px)
    score_map, _ = peer.score(np.ascontiguousarray(seen.tensor))
    return pixel_figures(score_map_in_frame(score_map, seen.transform, frame.size_px), boxes, frame.size_px)
