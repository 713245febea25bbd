"""`sightline bench ablation`: what each part of the localisers is worth, on screws turned and cropped (MAD-RTO).

The paper's six settings (004, table 2) and its two targets (table 1), trained by ourselves with its margin of 0.1:
IMM is our alignment in front, AUG a turned and shifted copy of every good part without it, DGM outlier exposure by
generated defects. Then what is beyond the paper, each against the row it changes. All on ResNet-18's features in
float32, one seed. `ours` and `baseline` are pixel AUROC of IMM + DGM and of neither. Needs ResNet-18's weights;
`frames` is how many good parts are learnt from (all 200 without it).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ablation_scene import Scene, silent
from benchmarks.accuracy_cases import resnet18_weights
from benchmarks.accuracy_data import lay_out
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from benchmarks.rows import defined, figure_of
from benchmarks.table_rto import write_rto
from engines.backbone import Backbone
from engines.backbone_resnet import load_resnet18
from engines.feature_fit import FitSettings
from engines.mapping_fit import Exposure, MappingSettings
from engines.scoring_model import Float
from pipeline.rig import Rig
from pipeline.train_settings import TrainSettings
from pipeline.training import LEAST_LEVEL_SHARE
from schemas.errors import InputError

PAPER_MARGIN = 0.1
ONE_SPREAD = 1e3
"""A variance floor that no place exceeds."""
IMM_DGM, NEITHER = "IMM + DGM", "neither"
_SEED = 0

Rows = Iterator[tuple[str, dict[str, Json]]]


def run(frames: int | None = None) -> BenchResult:
    """Train and judge every row. Args: frames: good parts to learn from; None: all."""
    weights = resnet18_weights()
    if weights is None:
        raise InputError("the ablation needs ResNet-18's weights: set SIGHTLINE_WEIGHTS to the .npz")
    settings = TrainSettings(precision="f32", seed=_SEED, n_threads=1)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as made:
        data = write_rto(lay_out("mvtec_screw", Path(made)), Path(made) / "mvtec_screw_rto")
        rows: dict[str, Json] = dict(ablate(data, load_resnet18(weights), settings, frames))
    ours, baseline = (figure_of(rows, name, "pixel_auroc") for name in (IMM_DGM, NEITHER))
    figures: dict[str, Json] = {"unit": "pixel AUROC on mvtec_screw RTO", "rows": rows}
    return BenchResult("ablation", ours, baseline, ours / baseline, figures, machine())


def ablate(data: Path, backbone: Backbone, settings: TrainSettings, n_good: int | None) -> Rows:
    """Name and figures of every row, as they come. Args: data: a set in MVTec's layout."""
    aligned = Scene.of(data, settings, n_good)
    as_sent = Scene.of(data, replace(settings, motion="none"), n_good)
    paper = replace(settings.mapping, margin=PAPER_MARGIN)
    for scene, dgm, alone in (
        (aligned, IMM_DGM, "IMM"),
        (as_sent, "DGM", NEITHER),
        (as_sent.augmented(_SEED), "DGM + AUG", "AUG"),
    ):
        bench = Bench.of(scene, backbone, replace(settings, localiser="alm"))
        yield bench.mapping(dgm, paper)
        yield bench.mapping(alone, replace(paper, exposed_share=0.0))
        if scene is aligned:
            yield bench.mapping(f"{IMM_DGM}, one vector", replace(paper, target="vector"))
            yield bench.mapping("IMM, one vector", replace(paper, target="vector", exposed_share=0.0))
            yield bench.mapping(f"{IMM_DGM}, margin {settings.mapping.margin:g}", settings.mapping)
    bench = Bench.of(aligned, backbone, replace(settings, localiser="both")).settled()
    yield bench.mapping("both localisers", settings.mapping)
    fit = bench.rig.settings.fit
    yield from _distances(bench, fit)
    if aligned.foreground is not None:
        everywhere = Bench.of(replace(aligned, foreground=None), backbone, settings)
        yield everywhere.distance("distance, all of the picture scored", fit)
    coarse = replace(backbone, spec=replace(backbone.spec, levels=backbone.spec.levels[1:]))
    yield Bench.of(aligned, coarse, settings).distance("distance, without the finest level", fit)


def _distances(bench: Bench, fit: FitSettings) -> Rows:
    """The feature model, and what each of its parts is worth."""
    yield bench.distance(f"distance, variance floor {fit.floor:g} as chosen", fit)
    yield bench.distance("distance, one centre a place", replace(fit, centres=1))
    yield bench.distance("distance, a place's own spread", replace(fit, floor=0.0))
    yield bench.distance("distance, one spread for all places", replace(fit, floor=ONE_SPREAD))
    yield bench.distance("distance, no level of a frame's own", replace(fit, power=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A scene with its projected features: what rows that differ in the model alone share."""

    scene: Scene
    rig: Rig
    projection: Float
    good: NDArray[np.float16]
    cells: NDArray[np.bool_]
    exposure: Exposure | None
    tests: NDArray[np.float16]

    @classmethod
    def of(cls, scene: Scene, backbone: Backbone, settings: TrainSettings) -> Bench:
        """Projected features of all pictures, for the localiser that `settings` name."""
        rig = scene.rig(backbone, settings)
        cells = np.stack([rig.cells(each.valid) for each in scene.good])
        projection = rig.learn_projection(scene.good, cells, silent)
        good = rig.project(scene.good, projection, silent)
        exposure = rig.expose(scene.good, projection, cells, silent)
        return cls(scene, rig, projection, good, cells, exposure, scene.project_tests(rig, projection))

    def settled(self) -> Bench:
        """The same with the feature model's variance floor chosen as `train` chooses it."""
        rig = self.rig.settled(self.scene.good, self.projection, self.good, self.cells, silent)
        return replace(self, rig=rig)

    def mapping(self, name: str, mapping: MappingSettings) -> tuple[str, dict[str, Json]]:
        """The row of a mapping network trained so."""
        exposure = self.exposure if mapping.exposed_share > 0 else None
        return self._row(name, replace(self.rig.settings, mapping=mapping), exposure)

    def distance(self, name: str, fit: FitSettings) -> tuple[str, dict[str, Json]]:
        """The row of a feature model fitted so."""
        return self._row(name, replace(self.rig.settings, localiser="distance", fit=fit), None)

    def _row(self, name: str, settings: TrainSettings, exposure: Exposure | None) -> tuple[str, dict[str, Json]]:
        start = time.monotonic()
        model = replace(self.rig, settings=settings).fit(self.projection, self.good, self.cells, exposure)
        _, levels = model.judge(self.good)
        model = model.scaled(1.0, LEAST_LEVEL_SHARE * float(np.median(levels)))
        figures = self.scene.judge(self.rig, model.score(self.tests))
        row = defined(asdict(figures)) | {"seconds": round(time.monotonic() - start, 1)}
        say(f"{name}: {row}")
        return name, row
