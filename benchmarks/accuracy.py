"""`sightline bench accuracy`: train and judge on real pictures, a row a set, beside a naive inspection.

Every row is learnt from good parts alone by the code of `sightline train` and judged by that of `sightline
evaluate`. `ours` and `baseline` are image AUROC on mvtec_screw: the student with alignment, and the difference
from the mean good picture (benchmarks/accuracy_naive.py), learnt in the same run. Needs the real pictures.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.accuracy_boards import INPUT_PX, N_VARIATIONS, judge_boards
from benchmarks.accuracy_cases import ABLATION, CASES, Case, judge_case, resnet18_weights, train_case, training_s
from benchmarks.accuracy_data import lay_out
from benchmarks.accuracy_naive import judge_naively
from benchmarks.accuracy_robust import contamination, false_calls, sharpening
from benchmarks.accuracy_thresholds import look_at_highest
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from benchmarks.rows import defined, image_auroc
from benchmarks.work_folder import work_folder
from pipeline.evaluation import Evaluation

HEADLINE = Case("mvtec_screw")
N_BOARDS = 8
_FIGURES = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "au_pro", "image_f1", "best_f1")
_RATES = ("false_calls_per_1000", "escapes_per_1000")


def run(frames: int = N_BOARDS) -> BenchResult:
    """Train, judge, compare. Args: frames: how many DeepPCB boards, a bundle each."""
    weights = resnet18_weights()
    cases = [*CASES, *ABLATION]
    if weights is None:
        say("no ResNet-18 weights: set SIGHTLINE_WEIGHTS to the .npz; its rows are left out")
    else:
        cases += [Case(each.data, "resnet18", each.motion, each.input_px) for each in CASES if each != CASES[0]]
    rows: dict[str, Json] = {}
    naive: dict[str, Json] = {}
    with work_folder() as folder:
        for case in cases:
            rows[case.name] = _row(case, folder)
        for data in dict.fromkeys(case.data for case in CASES):
            say(f"{data}: naive difference")
            naive[data] = defined(asdict(judge_naively(lay_out(data, folder))))
        boards = asdict(judge_boards(frames, folder, say)) | {"input_px": INPUT_PX, "variations": N_VARIATIONS}
        splits, contaminated = asdict(false_calls(HEADLINE, folder, say)), contamination(folder, say)
        sharpened = sharpening(HEADLINE, folder, say)
        looks: dict[str, Json] = {case.name: asdict(look_at_highest(case, folder, say)) for case in CASES[1:]}
    ours, baseline = image_auroc(rows, HEADLINE.name), image_auroc(naive, HEADLINE.data)
    figures: dict[str, Json] = {
        "unit": "image AUROC on mvtec_screw",
        "rows": rows,
        "naive": naive,
        "deeppcb": boards,
        "splits": splits,
        "contamination": contaminated,
        "sharpening": sharpened,
        "looks": looks,
        "resnet18_weights": weights is not None,
    }
    return BenchResult("accuracy", ours, baseline, ours / baseline, figures, machine())


def _row(case: Case, folder: Path) -> Json:
    bundle = train_case(case, folder, say)
    found = judge_case(case, bundle, folder)
    say(f"{case.name}: image AUROC {found.image_auroc}, pixel AUROC {found.pixel_auroc}")
    return _figures(found) | {
        "backbone": case.backbone,
        "motion": case.motion,
        "precision": case.precision,
        "power": case.power,
        "input_px": case.input_px,
        "n_train": bundle.manifest.training.n_good,
        "bundle_bytes": sum(len(member) for member in bundle.members.values()),
        "train_s": training_s(case, folder),
    }


def _figures(found: Evaluation) -> dict[str, Json]:
    row: dict[str, Json] = {"n_good": found.n_good, "n_bad": found.n_bad, "n_uninspected": found.n_uninspected}
    for name in (*_FIGURES, *_RATES):
        value = getattr(found, name)
        row[name] = None if value is None else round(value, 4)
        if name in found.intervals and value is not None:
            row[f"{name}_interval"] = [round(end, 4) for end in found.intervals[name]]
    row["escapes_by_kind"] = {kind: list(counts) for kind, counts in found.escapes_by_kind.items()}
    return row
