"""`sightline bench table`: ours beside PaDiM and PatchCore on the same pictures, backbones, sizes and in the same run.

Every method learns from the same good parts and is judged in the frame on the same labelled ones. `aligned` rows get
the pictures that our alignment prepares, the others the frames as sent, resized. mvtec_screw is judged as it is and
turned and cropped (MAD-RTO, benchmarks/table_rto.py), DeepPCB one golden template at a time
(benchmarks/table_boards.py). Rows of ours called `fine` score tiles of 4x4 px (`train --grid-px 4`); on DeepPCB they
would take longer than the rest. `ours` and `baseline` are image AUROC on mvtec_screw: the shipped student with
alignment, and the better peer with alignment in front. Needs ResNet-18's weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_cases import CASES, judge_case, resnet18_weights, train_case
from benchmarks.accuracy_data import lay_out
from benchmarks.accuracy_naive import MapFigures
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from benchmarks.rows import defined, image_auroc
from benchmarks.table_boards import judge_boards_beside
from benchmarks.table_peers import Padim, PatchCore, Peer, Stages
from benchmarks.table_rto import write_rto
from benchmarks.work_folder import work_folder
from engines.backbone_resnet import load_resnet18
from engines.bundle import Bundle
from pipeline.evaluation import GOOD, find_pictures, read_mask, score_map_in_frame
from pipeline.good_parts import picture_paths, read_picture
from pipeline.preparation import Preparation, Prepared
from pipeline.train_settings import GridPx, Motion
from schemas.errors import InputError

RTO = "mvtec_screw_rto"
HEADLINE = "mvtec_screw/ours student/aligned"
_SETS = ("mvtec_screw", RTO, "circuit_board", "magnetic_tile", "dagm_class4", "kolektor_sdd")
_OURS: tuple[tuple[str, GridPx], ...] = (("student", 8), ("student", 4), ("resnet18", 8), ("resnet18", 4))
"""Our rows beside the peers': backbone, and sides of the tiles that are scored; as sent the first alone."""
_PEERS: dict[str, Callable[[Stages], Peer]] = {"PaDiM": Padim, "PatchCore": PatchCore}


def run(frames: int = len(_SETS)) -> BenchResult:
    """Train and judge. Args: frames: how many of the sets, in their order."""
    weights = resnet18_weights()
    if weights is None:
        raise InputError("the peers need ResNet-18's weights: set SIGHTLINE_WEIGHTS to the .npz")
    rows: dict[str, Json] = {}
    with work_folder() as folder:
        if not (folder / RTO).exists():
            write_rto(lay_out("mvtec_screw", folder), folder / RTO)
        for name in _SETS[:frames]:
            rows |= _judge_set(name, folder, weights)
        if frames >= len(_SETS):
            rows |= judge_boards_beside(folder, weights, _PEERS)
    ours = image_auroc(rows, HEADLINE)
    baseline = max(image_auroc(rows, f"mvtec_screw/{peer}/aligned") for peer in _PEERS)
    figures: dict[str, Json] = {"unit": "image AUROC on mvtec_screw, aligned", "rows": rows}
    return BenchResult("table", ours, baseline, ours / baseline, figures, machine())


def _judge_set(name: str, folder: Path, weights: Path) -> dict[str, Json]:
    """Every row of one set."""
    given = next(case for case in reversed(CASES) if case.data == name.removesuffix("_rto"))
    case = replace(given, data=name)
    rows: dict[str, Json] = {}
    found: dict[Motion, Bundle] = {}
    still: Motion = "none"
    for motion in dict.fromkeys((case.motion, still)):
        for backbone, grid_px in _OURS if motion == case.motion else _OURS[:1]:
            each = replace(case, backbone=backbone, motion=motion, grid_px=grid_px)
            start = time.monotonic()
            bundle = train_case(each, folder, lambda text: None)
            found.setdefault(motion, bundle)
            judged = judge_case(each, bundle, folder)
            label = f"{name}/ours {backbone}{'' if grid_px == 8 else ' fine'}/{_label(motion)}"
            rows[label] = _row(MapFigures.of_evaluation(judged), start)
            say(f"{label}: {rows[label]}")
    for motion, bundle in found.items():
        label, preparation = _label(motion), Preparation.of_bundle(bundle)
        pictures = Pictures.of(lay_out(name, folder), preparation)
        stages = Stages(load_resnet18(weights), preparation.input_size_px)
        for peer, kind in _PEERS.items():
            start = time.monotonic()
            rows[f"{name}/{peer}/{label}"] = _row(judge_peer(kind(stages), pictures), start)
            say(f"{name}/{peer}/{label}: {rows[f'{name}/{peer}/{label}']}")
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A set as peers see it, read and prepared once: `good` (3, H, W) tensors to learn from, and the `judged` ones.

    Of each judged picture: whether it is bad, the truth in the frame, the frame's size, and what was prepared of it
    (None: it could not be aligned).
    """

    good: list[NDArray[np.uint8]]
    judged: list[tuple[bool, NDArray[np.bool_], tuple[int, int], Prepared | None]]

    @classmethod
    def of(cls, data: Path, preparation: Preparation) -> Pictures:
        """Those of `data`, in MVTec's layout."""
        rules = preparation.decode_rules
        good = (preparation.prepare(read_picture(p, rules)[0])[1] for p in picture_paths(data / "train" / "good"))
        judged = []
        for picture in find_pictures(data):
            frame = read_picture(picture.path, rules)[0]
            truth = read_mask(picture, frame.size_px)
            judged.append((picture.kind != GOOD, truth, frame.size_px, preparation.prepare(frame)[1]))
        return cls([np.ascontiguousarray(each.tensor) for each in good if each is not None], judged)


def judge_peer(peer: Peer, pictures: Pictures) -> MapFigures:
    """`peer` fitted to the good pictures and judged on the others, figures in the frame."""
    peer.fit(pictures.good)
    maps: list[NDArray[np.float32]] = []
    masks, bad, scores = [], [], []
    for is_bad, truth, frame_size_px, seen in pictures.judged:
        bad.append(is_bad)
        masks.append(truth)
        if seen is None:
            scores.append(math.inf)
            maps.append(np.full(truth.shape, -np.inf, np.float32))
            continue
        score_map, score = peer.score(np.ascontiguousarray(seen.tensor))
        scores.append(score)
        maps.append(score_map_in_frame(score_map, seen.transform, frame_size_px))
    lowest = min(float(each[np.isfinite(each)].min(initial=np.inf)) for each in maps)
    filled = [np.where(np.isfinite(each), each, np.float32(lowest - 1e-3)).astype(np.float32) for each in maps]
    highest = max(score for score in scores if math.isfinite(score))
    finite = np.array([score if math.isfinite(score) else highest + 1 for score in scores])
    return MapFigures.of(np.array(bad), finite, masks, filled)


def _label(motion: str) -> str:
    return "as sent" if motion == "none" else "aligned"


def _row(figures: MapFigures, began_s: float) -> dict[str, Json]:
    return defined(asdict(figures)) | {"seconds": round(time.monotonic() - began_s, 1)}
