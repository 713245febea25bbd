"""The ablation's parts: every row is there, and an augmented scene differs from its source in added copies alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ablation import IMM_DGM, NEITHER, ablate
from benchmarks.ablation_report import table
from benchmarks.ablation_scene import Scene
from engines.backbone_student import load_student
from engines.mapping_fit import MappingSettings
from pipeline.train_settings import TrainSettings
from tests.benchmarks.test_table import labelled

__all__ = ["labelled"]
SETTINGS = TrainSettings(
    precision="f32", mapping=MappingSettings(steps=20, exposures=10, batch=256, hidden=32, mapped=16, rate=1e-2)
)


def test_every_row_of_the_ablation_is_judged_and_printed(labelled: Path) -> None:
    rows = dict(ablate(labelled, load_student(), SETTINGS, 20))
    for name in (IMM_DGM, "IMM", "DGM", "DGM + AUG", "AUG", NEITHER, "both localisers", "distance, one centre a place"):
        assert {"pixel_auroc", "pixel_ap", "au_pro", "image_auroc"} <= set(rows[name])
    assert rows["distance, one centre a place"]["image_auroc"] == rows["both localisers"]["image_auroc"] == 1.0
    printed = table({"figures": {"rows": rows}})
    assert printed.count("\n") == len(rows) + 1 and "| IMM + DGM | 0.974 |" in printed


def test_augmenting_adds_a_moved_copy_of_every_good_part_and_leaves_the_rest(labelled: Path) -> None:
    scene = Scene.of(labelled, replace(SETTINGS, motion="none"), 5)
    more = scene.augmented(seed=0)
    assert (len(scene.good), len(more.good)) == (5, 10)
    assert more.good[:5] == scene.good
    assert more.tests == scene.tests
    for part, moved in zip(scene.good, more.good[5:], strict=True):
        assert moved.tensor.shape == part.tensor.shape
        assert np.abs(moved.tensor.astype(int) - part.tensor).mean() > 2
