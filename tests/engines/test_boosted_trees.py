"""Boosted trees: what XGBoost says, without XGBoost; damaged ones are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engines.boosted_trees import BoostedTrees, trees_of_xgboost
from schemas.errors import SetupError

xgboost = pytest.importorskip("xgboost", reason="the extra `boost` is not installed")


def learnt(seed: int = 0) -> tuple[list[Any], BoostedTrees, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(300, 6))
    values[rng.random(values.shape) < 0.2] = np.nan
    truth = np.nansum(values, 1) > 0
    settings = {"objective": "binary:logistic", "nthread": 1}
    halves = [xgboost.DMatrix(values[i::2], label=truth[i::2], nthread=1) for i in range(2)]
    models = [xgboost.train(settings, half, num_boost_round=40) for half in halves]
    return models, trees_of_xgboost([bytes(model.save_raw("json")) for model in models]), values


def test_probabilities_are_the_mean_of_xgboosts_missing_values_included() -> None:
    models, trees, values = learnt()
    theirs = np.mean([model.predict(xgboost.DMatrix(values, nthread=1)) for model in models], 0)
    assert np.abs(trees.predict(values) - theirs).max() < 1e-6


def test_they_come_back_from_their_bytes_which_are_always_the_same() -> None:
    _, trees, values = learnt()
    content = trees.to_bytes()
    assert content == trees.to_bytes()
    assert np.array_equal(BoostedTrees.from_bytes(content).predict(values), trees.predict(values))


def test_damaged_trees_are_refused() -> None:
    _, trees, values = learnt()
    loop = trees.left.copy()
    loop[np.flatnonzero(loop > 0)[0]] = 0
    with pytest.raises(SetupError, match="leads nowhere"):
        BoostedTrees.from_bytes(replace(trees, left=loop).to_bytes())
    with pytest.raises(SetupError, match="cannot be read"):
        BoostedTrees.from_bytes(b"nothing")
    with pytest.raises(ValueError, match="6 features, not 3"):
        trees.predict(values[:, :3])
