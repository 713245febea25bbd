"""`sightline bench oanet`: Tables 1 and 2 of the paper on ASE-like parts, with ablations, peers and cost.

`figures["branches"]`: image branch -> scene -> method -> figures, means over the branch's repeats (and `_sd`). Scenes
are clean, a share of the fields missing, GridMask, both. Methods `cnn_alone`, `alignment`, `refinement`, `gate` are
Table 1's rows. Fields are the true values: the reader has a benchmark of its own. A method's threshold is 0.5, but
that of `gate` and `ungated`, which belongs to their rule (`f1_at_half` is theirs at 0.5). `f1`, `f1_best_single`,
`f1_retention` and `auroc` are of the first branch; retention is F1 at 60 % missing and GridMask over F1 on clean parts.
The paper's networks, which learn from the beginning, take long; how often each was run stands in `repeats`.

python -m benchmarks.oanet --branch student --repeats 5 prints the tables of docs/oanet.md for one branch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

from benchmarks.accuracy_cases import resnet18_weights
from benchmarks.oanet_cost import fusion_cost
from benchmarks.oanet_parts import NAMES, Parts, make_parts, split
from benchmarks.oanet_report import tables
from benchmarks.oanet_run import Repeat, run_repeat
from benchmarks.oanet_scores import summary
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from engines.oanet_branches import image_branch
from engines.oanet_lessons import Lessons, prepare_lessons
from engines.oanet_training import OanetSettings
from pipeline.intra_bagging import SERVING, available_voices
from pipeline.oanet_training import train_fusion
from schemas.errors import MissingExtra

N_PARTS = 971
REPEATS = {"student": 5, "resnet18": 1, "alexnet": 1, "vgg16": 1}
SIDES_PX = {"student": 112, "resnet18": 96, "alexnet": 96, "vgg16": 64}
_HARDEST = "missing_60%_grid"
_SINGLES = ("cnn_alone", "xgboost_alone", "our_image_voice", "our_fields_voice")
_PACKAGES = ("torch", "xgboost", "lightgbm", "scikit-learn", "catboost", "onnxruntime", "openvino", "numpy")


def run(frames: int = N_PARTS, branches: Mapping[str, int] | None = None) -> BenchResult:
    """Measure. Args: frames: parts of the set. branches: image branch -> repeats, REPEATS when None.

    Raises: MissingExtra without torch or XGBoost.
    """
    if "xgboost" not in available_voices():
        raise MissingExtra("xgboost", "boost", "benchmark oanet")
    import torch

    torch.set_num_threads(1)
    chosen, started_s = dict(branches or REPEATS), time.monotonic()
    say(f"drawing {frames} parts")
    parts = make_parts(frames)
    found: dict[str, list[Repeat]] = {}
    cost: dict[str, Json] = {}
    for name, n in chosen.items():
        lessons = _lessons(name, parts)
        found[name] = [_repeat(name, parts, lessons, seed, n) for seed in range(n)]
        if not cost:
            say("measuring the cost of fusing")
            train, _ = split(parts.defective, 0)
            quick = OanetSettings(n_epochs=1, refine_epochs=1)
            cost = fusion_cost(train_fusion(NAMES, lessons, parts.values, train, quick), parts.values)
    return _result(found, cost, parts, chosen, time.monotonic() - started_s)


def _lessons(name: str, parts: Parts) -> Lessons:
    weights = resnet18_weights() if name == "resnet18" else None
    say(f"{name}: pictures and features")
    return prepare_lessons(
        image_branch(name, weights), parts.crops, parts.values[None], parts.defective, SIDES_PX[name], 0,
        usual_crops=parts.usual_crops,
    )  # fmt: skip


def _repeat(name: str, parts: Parts, lessons: Lessons, seed: int, n: int) -> Repeat:
    first = name == "student" and seed == 0
    repeat = run_repeat(
        parts,
        lessons,
        seed,
        voices=available_voices() if first else (SERVING,),
        peers=name in ("student", "resnet18"),
        say=lambda text: say(f"{name}, repeat {seed + 1} of {n}: {text}"),
    )
    rows = repeat.scenes["clean"]
    say("  ".join(f"{method} {rows[method]['f1']:.3f}" for method in ("cnn_alone", "alignment", "refinement", "gate")))
    return repeat


def _result(
    found: Mapping[str, Sequence[Repeat]], cost: Json, parts: Parts, repeats: Mapping[str, int], took_s: float
) -> BenchResult:
    tables = {name: _tables(each) for name, each in found.items()}
    first = next(iter(found))
    clean = {method: _mean_f1(found[first], "clean", method) for method in found[first][0].scenes["clean"]}
    best = max(clean[name] for name in _SINGLES)
    hardest = _mean_f1(found[first], _HARDEST, "gate")
    figures: dict[str, Json] = {
        "unit": "F1 of the fused verdict on clean parts; baseline: the better of XGBoost on fields and the CNN alone",
        "n_parts": len(parts.defective),
        "best_possible_accuracy": round(parts.best, 4),
        "repeats": dict(repeats),
        "side_px": {name: SIDES_PX[name] for name in found},
        "branches": tables,
        "voices": _rounded(found[first][0].voices),
        "voices_absent": [name for name in ("lightgbm", "gradient_boosting", "random_forest", "catboost")
                          if name not in available_voices()],
        "f1": clean["gate"],
        "f1_best_single": best,
        "f1_best_single_hardest": max(_mean_f1(found[first], _HARDEST, name) for name in _SINGLES),
        "f1_hardest": hardest,
        "f1_retention": hardest / clean["gate"],
        "auroc": _mean(found[first], "clean", "gate", "auroc"),
        "calibration_error": _mean(found[first], "clean", "gate", "calibration_error"),
        "aurc": _mean(found[first], "clean", "gate", "aurc"),
        "cost": cost,
        "took_s": round(took_s),
    }  # fmt: skip
    baseline = max(clean["cnn_alone"], clean["xgboost_alone"])
    return BenchResult("oanet", clean["gate"], baseline, clean["gate"] / baseline, figures, machine(_PACKAGES))


def _tables(repeats: Sequence[Repeat]) -> dict[str, Json]:
    scenes = repeats[0].scenes
    return {
        scene: {method: summary([each.scenes[scene][method] for each in repeats]) for method in methods}
        for scene, methods in scenes.items()
    }


def _mean(repeats: Sequence[Repeat], scene: str, method: str, figure: str) -> float:
    return sum(each.scenes[scene][method][figure] for each in repeats) / len(repeats)


def _mean_f1(repeats: Sequence[Repeat], scene: str, method: str) -> float:
    return _mean(repeats, scene, method, "f1")


def _rounded(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Json]:
    return {name: {figure: round(value, 4) for figure, value in row.items()} for name, row in rows.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tables of docs/oanet.md, one image branch at a time.")
    parser.add_argument("--branch", choices=list(REPEATS), default="student", help="image branch")
    parser.add_argument("--repeats", type=int, default=5, help="repeats, each with a split of its own")
    parser.add_argument("--frames", type=int, default=N_PARTS, help="parts of the set")
    asked = parser.parse_args()
    result = run(asked.frames, {asked.branch: asked.repeats})
    print(tables(dict(result.figures)["branches"], {asked.branch: asked.repeats}))  # type: ignore[arg-type]
    print(result.to_json())
