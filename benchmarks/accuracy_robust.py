"""Does training keep its promises? False calls over random splits, and defective parts among the good ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy_cases import Case, judge_case, train_case
from benchmarks.accuracy_data import lay_out
from engines.feature_fit import FitSettings, Scatter, fit_model, fit_projection
from engines.features import FeatureExtractor, grid_size
from pipeline.bundling import load_backbone
from pipeline.calibration import calibrate_thresholds
from pipeline.folder_inspection import inspect_files
from pipeline.good_parts import picture_paths, read_picture
from pipeline.inspection import Inspector, RecipeRules
from pipeline.preparation import Preparation
from pipeline.rig import Rig
from pipeline.train_settings import TrainSettings
from schemas.verdict import Outcome

_LEARN_SHARE = 0.75
_CONTAMINATION = 0.05
CONTAMINATED = "mvtec_screw_contaminated"
CLEAN = "mvtec_screw_clean"


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """Good parts kept back in `n_splits` random splits, and how many of them the thresholds stopped."""

    n_splits: int
    n_judged: int
    n_stopped: int
    target_per_1000: float
    n_splits_within: int
    """Splits whose rate is within the target, or within one part of it where that is less than one part."""


def false_calls(case: Case, folder: Path, say: Callable[[str], None], n_splits: int = 20) -> SplitFigures:
    """Model and thresholds from three quarters of the good parts, drawn `n_splits` times; the rest judged.

    Template and alignment are those learnt from all of them: it is the thresholds' promise that is tested.
    """
    bundle = train_case(case, folder, lambda text: None)
    preparation, chosen = Preparation.of_bundle(bundle), bundle.manifest.training.figures["variance_floor"]
    settings = TrainSettings(precision="f32", fit=FitSettings(floor=float(str(chosen))))
    paths = picture_paths(lay_out(case.data, folder) / "train" / "good")
    prepared = (preparation.prepare(read_picture(path, preparation.decode_rules)[0])[1] for path in paths)
    aligned = [each for each in prepared if each is not None]
    backbone = load_backbone(case.backbone, None)
    rig = Rig.build(backbone, preparation.input_size_px, bundle.foreground(), settings)
    cells = np.stack([rig.cells(each.valid) for each in aligned])
    extractor = FeatureExtractor(backbone, rig.size_px)
    raw = np.concatenate([extractor.features(each.tensor[None]).astype(np.float16) for each in aligned])
    n_judged = n_stopped = n_within = 0
    for split in range(n_splits):
        say(f"{case.name}: split {split + 1} of {n_splits}")
        order = np.random.default_rng(split).permutation(len(aligned))
        learn, kept = np.split(order, [round(_LEARN_SHARE * len(order))])
        scatter = Scatter(backbone.spec.channels, grid_size(rig.size_px, backbone.grid_stride_px))
        for index in learn[:96]:
            scatter.add(raw[index].astype(np.float32), cells[index])
        projection = fit_projection(scatter.within(), settings.fit, settings.seed)
        z = np.stack([np.tensordot(projection, each.astype(np.float32), 1).astype(np.float16) for each in raw])
        grids, _ = rig.held_out_grids(projection, z[learn], cells[learn], lambda what, done, total: None)
        fit = calibrate_thresholds(
            rig.frame_scores(grids, [aligned[i] for i in learn]), settings.false_calls_per_1000, split
        )
        model = fit_model(projection, z[learn], cells[learn], settings.fit, settings.seed)
        scores = rig.frame_scores(model.score(z[kept]), [aligned[i] for i in kept])
        stopped = int((scores >= fit.thresholds.review).sum())
        n_judged, n_stopped = n_judged + len(kept), n_stopped + stopped
        n_within += stopped <= max(settings.false_calls_per_1000 * len(kept) / 1000, 1)
    return SplitFigures(n_splits, n_judged, n_stopped, settings.false_calls_per_1000, n_within)


def sharpening(case: Case, folder: Path, say: Callable[[str], None]) -> dict[str, int]:
    """What knowing every third defective screw is worth on the other ones and on good ones.

    Returns: `n_known`, `n_bad`, `n_good`; `escapes` and `false_calls` of these without and `..._known` with the known.
    """
    source = lay_out(case.data, folder)
    bad = [path for path in sorted((source / "test").glob("*/*.png")) if path.parent.name != "good"]
    known, others = bad[::3], [path for index, path in enumerate(bad) if index % 3]
    good = picture_paths(source / "test" / "good")
    found = {"n_known": len(known), "n_bad": len(others), "n_good": len(good)}
    for ending, given in (("", []), ("_known", known)):
        say(f"{case.name}: thresholds that know {len(given)} defective parts")
        inspector = Inspector(train_case(case, folder, lambda text: None, bad=given), backend="onnxruntime")
        rules = RecipeRules.of_manifest(inspector.bundle.manifest)
        for name, paths, wrong in (("escapes", others, True), ("false_calls", good, False)):
            answers = inspect_files(inspector, paths, rules, lambda what, done, total: None)
            found[name + ending] = sum((each.outcome is Outcome.PASS) is wrong for each in answers)
        inspector.close()
    return found


def contamination(folder: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Screws learnt clean, and with one defective part to nineteen good ones; the same other parts are judged.

    Returns: pixel and image AUROC of both.
    """
    source = lay_out("mvtec_screw", folder)
    good = picture_paths(source / "train" / "good")
    defective = sorted((source / "test").glob("*/*.png"))
    defective = [path for path in defective if path.parent.name != "good"]
    chosen = [defective[i] for i in np.linspace(0, len(defective) - 1, round(_CONTAMINATION * len(good))).astype(int)]
    found: dict[str, float] = {}
    for name, extra in ((CLEAN, []), (CONTAMINATED, chosen)):
        say(f"{name}: {len(good)} good and {len(extra)} defective parts to learn from")
        target = folder / name
        shutil.rmtree(target, ignore_errors=True)
        (target / "train" / "good").mkdir(parents=True)
        shutil.copytree(source / "test", target / "test")
        shutil.copytree(source / "ground_truth", target / "ground_truth")
        for path in good:
            shutil.copy(path, target / "train" / "good" / path.name)
        for path in extra:
            shutil.copy(path, target / "train" / "good" / f"{path.parent.name}_{path.name}")
        for path in chosen:
            (target / "test" / path.parent.name / path.name).unlink()
        case = Case(name)
        judged = judge_case(case, train_case(case, folder, lambda text: None), folder)
        key = "contaminated" if extra else "clean"
        found[f"{key}_pixel_auroc"] = float(judged.pixel_auroc or 0)
        found[f"{key}_image_auroc"] = float(judged.image_auroc or 0)
        found[f"{key}_pixel_ap"] = float(judged.pixel_ap or 0)
    return found
