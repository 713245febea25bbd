"""Intra-bagging: every voice speaks on parts it did not learn, missing values stay missing, one model serves."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.intra_bagging import available_voices, bag_fields, folds_of, make_voice
from schemas.errors import InputError, MissingExtra

NAMES = ("force", "current", "tilt")


def parts(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (n, 3))
    defective = rng.random(n) < 0.4
    values[defective, 1] += 3
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, defective


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    return float((score[truth][:, None] > score[~truth]).mean())


@pytest.mark.parametrize("voice", ["xgboost", "lightgbm", "random_forest"])
def test_a_voice_tells_parts_apart_that_it_did_not_learn(voice: str) -> None:
    if voice not in available_voices():
        pytest.skip(f"the voice {voice} is not installed")
    values, defective = parts()
    bag = bag_fields(NAMES, values, defective, voices=(voice,))
    assert auroc(defective, bag.out_of_fold[voice]) > 0.85
    assert np.array_equal(bag.mean, bag.out_of_fold[voice])


def test_what_serves_needs_no_xgboost_and_answers_parts_that_lack_fields() -> None:
    pytest.importorskip("xgboost", reason="the extra `boost` is not installed")
    values, defective = parts()
    bag = bag_fields(NAMES, values, defective)
    found = bag.predict(np.array([[0.0, 4.0, 0.0], [0.0, -1.0, 0.0], [np.nan, 4.0, np.nan], [np.nan] * 3]))
    assert found[0] > 0.8
    assert found[1] < 0.3
    assert found[2] > 0.7
    assert 0.1 < found[3] < 0.8


def test_folds_spread_both_kinds_evenly_and_too_few_parts_are_refused() -> None:
    defective = np.arange(50) < 11
    fold = folds_of(defective, 0)
    assert np.bincount(fold[defective]).tolist() == [3, 2, 2, 2, 2]
    with pytest.raises(InputError, match="3 defective parts are too few"):
        folds_of(np.arange(50) < 3, 0)


def test_a_voice_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = builtins.__import__

    def absent(name: str, *rest: object, **named: object) -> object:
        if name.startswith("lightgbm"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"sightline\[bag\]"):
        make_voice("lightgbm", 0)
    with pytest.raises(InputError, match="voice 'oracle' is unknown"):
        make_voice("oracle", 0)
