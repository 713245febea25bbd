"""Small parts for OANet's tests: a bright square whose brightness or whose second field gives a defect away."""

from __future__ import annotations

import numpy as np

from engines.mask_learning import drop_fields
from engines.oanet_branches import image_branch
from engines.oanet_lessons import Lessons, prepare_lessons
from engines.oanet_training import OanetSettings, OanetTrainer

SIDE_PX = 32
N_FIELDS = 4
QUICK = OanetSettings(n_epochs=30, refine_epochs=30)


def parts(n: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops (n, 40, 40, 3) uint8, fields (n, N_FIELDS), defective (n,): half of the defects show in either."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, n)  # 0, 1: good
    crops = rng.integers(90, 110, (n, 40, 40, 3))
    crops[kind == 2, 12:20, 12:20] = 210
    fields = rng.normal(5, 1, (n, N_FIELDS))
    fields[kind == 3, 1] += 6
    fields[rng.random(fields.shape) < 0.02] = np.nan
    return crops.astype(np.uint8), fields, kind >= 2


def lessons(name: str = "student", n: int = 160) -> Lessons:
    crops, fields, defective = parts(n)
    rng = np.random.default_rng(1)
    versions = np.stack([fields, *(np.where(drop_fields(np.isnan(fields), rng), np.nan, fields) for _ in range(4))])
    return prepare_lessons(image_branch(name), crops, versions, defective, SIDE_PX, seed=0)


def trained(given: Lessons, settings: OanetSettings = QUICK) -> OanetTrainer:
    import torch

    torch.set_num_threads(1)
    trainer = OanetTrainer(given, settings)
    trainer.train(np.arange(len(given.defective) * 3 // 4))
    return trainer
