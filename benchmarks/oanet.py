"""`sightline bench oanet`: Tables 1 and 2 of the paper on ASE-like parts, with ablations, peers and cost.

About 24 minutes on two cores, a branch a core; `--frames 400` takes less than half of that. Of one branch alone,
and of a set ten times as large (9 GB in the folder for temporary files):

python -m benchmarks.oanet --branch student --repeats 5
python -m benchmarks.oanet --branch student --repeats 1 --frames 9710

`figures["table_1"]`: image branch -> method -> figures on clean parts; `figures["table_2"]`: image branch -> what a
station loses -> figures of the gated verdict. Every row has `f1`, `f1_best_single` (the best F1 of any single modality
in the same scene, ours included), `f1_retention` (F1 over that of the same method on clean parts; in Table 1 F1 at 60 %
missing and GridMask over it) and `auroc`. `figures["branches"]` has every method in every scene, `figures["bound"]` the
best F1 that anybody could have in it. The `f1`, `f1_best_single`, `f1_retention` and `auroc` on top are of the first
branch's gated verdict.

Means over repeats with splits of their own, and their deviations (`_sd`). Fields are the true values: the reader has a
benchmark of its own. A method's threshold is 0.5, but that of `gate` and `ungated`, which belongs to their rule
(`f1_at_half` is theirs at 0.5).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from benchmarks.oanet_bound import bound
from benchmarks.oanet_branch import BRANCHES, run_branch, small_fusion
from benchmarks.oanet_cost import fusion_cost
from benchmarks.oanet_parts import Parts, make_parts
from benchmarks.oanet_report import branch_tables, tables
from benchmarks.oanet_rows import by_scene, mean_of, table_1, table_2
from benchmarks.oanet_run import HARDEST, Repeat
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from pipeline.intra_bagging import VOICES, available_voices
from schemas.errors import MissingExtra

N_PARTS = 971
REPEATS = {"student": 5, "resnet18": 5, "alexnet": 5, "vgg16": 5}
"""Of each image branch, as many as the paper's."""
_MOST_PROCESSES = 2
_PACKAGES = ("torch", "xgboost", "lightgbm", "scikit-learn", "catboost", "onnxruntime", "openvino", "numpy")


def run(frames: int = N_PARTS, repeats: Mapping[str, int] | None = None) -> BenchResult:
    """Measure. Args: frames: parts of the set. repeats: image branch -> repeats, REPEATS when None.

    Raises: MissingExtra without torch or XGBoost.
    """
    if "xgboost" not in available_voices():
        raise MissingExtra("xgboost", "boost", "benchmark oanet")
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train", "benchmark oanet") from exc
    torch.set_num_threads(1)
    chosen = dict(repeats or REPEATS)
    started_s = time.monotonic()
    say(f"drawing {frames} parts")
    parts = make_parts(frames)
    found = _every_branch(parts, chosen)
    say("measuring the cost of fusing")
    cost = fusion_cost(small_fusion(parts), parts.values)
    say("asking a judge who knows the machine")
    figures: dict[str, Json] = {
        "bound": {name: dict(row) for name, row in bound().items()},
        "n_parts": frames,
        "n_defective": int(parts.defective.sum()),
        "best_possible_accuracy": round(parts.best, 4),
        "side_px": {name: BRANCHES[name].side_px for name in found},
        "cost": cost,
        "took_s": round(time.monotonic() - started_s),
    }
    return _result(found, chosen, figures)


def _every_branch(parts: Parts, repeats: Mapping[str, int]) -> dict[str, list[Repeat]]:
    """Every branch in a process of its own, so that each has one core; the longest begins first."""
    n = min(_MOST_PROCESSES, os.cpu_count() or 1, len(repeats))
    if n == 1:
        return {name: run_branch(name, parts, times) for name, times in repeats.items()}
    found: dict[str, list[Repeat]] = {}
    with ProcessPoolExecutor(n, get_context("spawn")) as pool:
        longest = sorted(repeats, key=lambda each: -BRANCHES[each].relative_cost * repeats[each])
        jobs = {pool.submit(run_branch, name, parts, repeats[name]): name for name in longest}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            say(_tables_of(jobs[job], job.result()))
    return {name: found[name] for name in repeats}


def _tables_of(name: str, found: Sequence[Repeat]) -> str:
    """A branch's tables as soon as it is done."""
    scenes = by_scene(found)
    return branch_tables(name, len(found), BRANCHES[name].side_px, scenes, table_2(scenes))


def _result(
    found: Mapping[str, Sequence[Repeat]], repeats: Mapping[str, int], figures: Mapping[str, Json]
) -> BenchResult:
    branches = {name: by_scene(each) for name, each in found.items()}
    first = next(iter(found))
    verdict, hardest = table_1(branches[first])["gate"], table_2(branches[first])[HARDEST]
    voiced = next((each[0].voices for each in found.values() if len(each[0].voices) > 1), found[first][0].voices)
    every: dict[str, Json] = {
        "unit": "F1 of the fused verdict on clean parts; baseline: the better of XGBoost on fields and the CNN alone",
        **{name: verdict[name] for name in ("f1", "f1_best_single", "f1_retention", "auroc")},
        "f1_hardest": hardest["f1"],
        "f1_best_single_hardest": hardest["f1_best_single"],
        "calibration_error": branches[first]["clean"]["gate"]["calibration_error"],
        "aurc": branches[first]["clean"]["gate"]["aurc"],
        "repeats": dict(repeats),
        "table_1": {name: table_1(scenes) for name, scenes in branches.items()},
        "table_2": {name: table_2(scenes) for name, scenes in branches.items()},
        "voices": {name: {key: round(value, 4) for key, value in row.items()} for name, row in voiced.items()},
        "voices_absent": [name for name in VOICES if name not in available_voices()],
        "branches": branches,
        **figures,
    }
    clean = {method: mean_of(found[first], "clean", method, "f1") for method in ("gate", "cnn_alone", "xgboost_alone")}
    baseline = max(clean["cnn_alone"], clean["xgboost_alone"])
    return BenchResult("oanet", clean["gate"], baseline, clean["gate"] / baseline, every, machine(_PACKAGES))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--branch", choices=list(BRANCHES), help="this image branch alone; every one without it")
    parser.add_argument("--repeats", type=int, help="repeats of each, with a split of its own (5)")
    parser.add_argument("--frames", type=int, default=N_PARTS, help="parts of the set (971)")
    asked = parser.parse_args()
    wanted = {name: asked.repeats or REPEATS[name] for name in ([asked.branch] if asked.branch else BRANCHES)}
    result = run(asked.frames, wanted)
    print(tables(result.figures), file=sys.stderr)
    print(result.to_json())
