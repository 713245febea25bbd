"""All repeats of one image branch of OANet's benchmark, and the small network whose cost is measured."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.accuracy_cases import resnet18_weights
from benchmarks.oanet_parts import NAMES, Parts, split
from benchmarks.oanet_run import Repeat, run_repeat
from benchmarks.progress import say
from engines.oanet_branches import image_branch
from engines.oanet_lessons import N_TURNS, Lessons, prepare_lessons
from engines.oanet_training import OanetSettings
from pipeline.intra_bagging import SERVING, available_voices
from pipeline.oanet_training import Fusion, train_fusion

_COST_PARTS = 200
MANY = 4000
"""Parts from which on lessons lie in a folder and have pictures one way round only, and XGBoost alone speaks."""


@dataclass(frozen=True, slots=True)
class BranchCase:
    """How a branch is measured. `peers`: FiLM and concatenation learn on it too; `relative_cost`: of a repeat."""

    side_px: int
    peers: bool
    relative_cost: float


_PAPERS, _OF_MANY = OanetSettings(), OanetSettings(n_epochs=8, refine_epochs=8, more_epochs=3)
"""Of many parts fewer epochs, which are still twice the steps."""
BRANCHES: Mapping[str, BranchCase] = {
    "student": BranchCase(160, True, 5.0),
    "resnet18": BranchCase(80, True, 4.0),
    "alexnet": BranchCase(64, False, 2.5),
    "vgg16": BranchCase(48, False, 8.0),
}


def run_branch(name: str, parts: Parts, n_repeats: int) -> list[Repeat]:
    """`n_repeats` repeats of branch `name` on `parts`; the student's first asks every voice."""
    import torch

    torch.set_num_threads(1)
    say(f"{name}: pictures and features")
    with TemporaryDirectory(prefix="sightline-oanet-") as folder:
        return _repeats(name, parts, _lessons(name, parts, Path(folder)), n_repeats)


def _repeats(name: str, parts: Parts, lessons: Lessons, n_repeats: int) -> list[Repeat]:
    case, many = BRANCHES[name], len(parts.defective) > MANY
    found = []
    for seed in range(n_repeats):
        found.append(
            run_repeat(
                parts,
                lessons,
                seed,
                voices=available_voices() if (name, seed) == ("student", 0) and not many else (SERVING,),
                peers=case.peers,
                settings=_OF_MANY if many else _PAPERS,
                say=lambda text, seed=seed: say(f"{name}, repeat {seed + 1} of {n_repeats}: {text}"),  # type: ignore[misc]
            )
        )
        gc.collect()  # optimisers and networks point at one another
        rows = found[-1].scenes["clean"]
        told = (f"{method} {rows[method]['f1']:.3f}" for method in ("cnn_alone", "alignment", "refinement", "gate"))
        say(f"{name}, repeat {seed + 1} of {n_repeats}: F1 {'  '.join(told)}")
    return found


def small_fusion(parts: Parts) -> Fusion:
    """What fuses on the line, barely trained on a few of `parts`: good for its cost, not for its verdicts."""
    some = slice(0, _COST_PARTS)
    few = replace(parts, crops=parts.crops[some], values=parts.values[some], defective=parts.defective[some])
    train, _ = split(few.defective, 0)
    quick = OanetSettings(n_epochs=1, refine_epochs=1, more_epochs=1)
    return train_fusion(NAMES, _lessons("student", few), few.values, train, quick)


def _lessons(name: str, parts: Parts, folder: Path | None = None) -> Lessons:
    many = len(parts.defective) > MANY
    weights = resnet18_weights() if name == "resnet18" else None
    return prepare_lessons(
        image_branch(name, weights), parts.crops, parts.values[None], parts.defective, BRANCHES[name].side_px, 0,
        usual_crops=parts.usual_crops, n_turns=1 if many else N_TURNS, folder=folder if many else None,
    )  # fmt: skip
