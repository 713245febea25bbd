"""Intra-bagging: several tree ensembles learn the machine parameters in folds; their voices on parts not learnt count.

Voices are LightGBM, gradient boosting and a random forest (scikit-learn), CatBoost, XGBoost, all with their default
settings. XGBoost serves on the line: the models of its folds together, as plain arrays. Missing values stay missing.
Source: 000_51cdc475db3dfdae.txt section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.boosted_trees import BoostedTrees, trees_of_xgboost
from engines.mask_learning import drop_fields
from pipeline.field_description import FieldDescription
from schemas.errors import InputError, MissingExtra

VOICES = ("xgboost", "lightgbm", "gradient_boosting", "random_forest", "catboost")
SERVING = "xgboost"
N_FOLDS = 5
_N_MASKED = 2
"""Copies of each part whose fields are dropped at random, beside the part as it is."""
_PACKAGES = {
    "xgboost": ("xgboost", "boost"),
    "lightgbm": ("lightgbm", "bag"),
    "gradient_boosting": ("scikit-learn", "bag"),
    "random_forest": ("scikit-learn", "bag"),
    "catboost": ("catboost", "catboost"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """`out_of_fold`: voice -> (n,) probability of a defect by models that did not learn the part; `trees` serve."""

    out_of_fold: Mapping[str, NDArray[np.float64]]
    description: FieldDescription
    trees: BoostedTrees

    @property
    def mean(self) -> NDArray[np.float64]:
        """(n,) the voices' mean, the ensemble's one voice."""
        return np.asarray(np.mean(list(self.out_of_fold.values()), 0), np.float64)

    def predict(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) probabilities by what serves, of `values` (n, F), NaN where missing."""
        return self.trees.predict(self.description.describe(values))


def available_voices() -> list[str]:
    """Those whose packages are installed."""
    from importlib.util import find_spec

    modules = {"scikit-learn": "sklearn"}
    return [name for name in VOICES if find_spec(modules.get(_PACKAGES[name][0], _PACKAGES[name][0])) is not None]


def folds_of(defective: NDArray[np.bool_], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """(n,) fold of each part, good and defective spread evenly.

    Raises: InputError when there are fewer good or defective parts than folds.
    """
    rng = np.random.default_rng([seed, 3])
    fold = np.empty(len(defective), np.int64)
    for kind, name in ((False, "good"), (True, "defective")):
        members = rng.permutation(np.flatnonzero(defective == kind))
        if len(members) < n_folds:
            raise InputError(f"{len(members)} {name} parts are too few for {n_folds} folds; give {n_folds} or more")
        fold[members] = np.arange(len(members)) % n_folds
    return fold


def bag_fields(
    names: tuple[str, ...],
    values: NDArray[np.float64],
    defective: NDArray[np.bool_],
    *,
    voices: Sequence[str] = (SERVING,),
    seed: int = 0,
) -> Bag:
    """Let `voices` learn `values` (n, F), NaN where missing, in folds.

    Raises: MissingExtra naming the extra of a voice; InputError for too few parts.
    """
    fold = folds_of(defective, seed)
    description = FieldDescription.learn(names, values, defective, seed)
    described = description.describe(values)
    rng = np.random.default_rng([seed, 4])
    masked = [description.describe(_dropped(values, rng)) for _ in range(_N_MASKED)]
    out_of_fold = {voice: np.empty(len(values)) for voice in voices}
    boosters: list[bytes] = []
    for held in range(N_FOLDS):
        learn, judge = fold != held, fold == held
        inputs = np.concatenate([described[learn], *(each[learn] for each in masked)])
        truth = np.tile(defective[learn], 1 + _N_MASKED)
        for voice in dict.fromkeys((*voices, SERVING)):
            model = make_voice(voice, seed)
            model.fit(inputs, truth.astype(int))
            if voice in out_of_fold:
                out_of_fold[voice][judge] = model.predict_proba(described[judge])[:, 1]
            if voice == SERVING:
                boosters.append(bytes(model.get_booster().save_raw("json")))
    return Bag(out_of_fold, description, trees_of_xgboost(boosters))


def make_voice(name: str, seed: int) -> Any:
    """An untrained model with scikit-learn's `fit` and `predict_proba`, of one thread. Raises: MissingExtra."""
    if name not in _PACKAGES:
        raise InputError(f"voice {name!r} is unknown; there are {', '.join(VOICES)}")
    try:
        return _MAKERS[name](seed)
    except ImportError as exc:
        raise MissingExtra(*_PACKAGES[name], f"the voice {name} of intra-bagging") from exc


class XgboostVoice:
    """XGBoost at its defaults by its own interface, for its scikit-learn one needs scikit-learn installed."""

    def __init__(self, seed: int, n_rounds: int = 100) -> None:
        """Raises: ImportError without the package."""
        import xgboost

        self._xgboost = xgboost
        self._settings = {"objective": "binary:logistic", "nthread": 1, "seed": seed}
        self._n_rounds = n_rounds
        self._booster: Any = None

    def fit(self, values: NDArray[np.float64], truth: NDArray[np.int64]) -> XgboostVoice:
        """Learn `values` (n, F), NaN where missing, and their `truth` (n,) 0 or 1."""
        matrix = self._xgboost.DMatrix(values, label=truth, nthread=1)
        self._booster = self._xgboost.train(self._settings, matrix, num_boost_round=self._n_rounds)
        return self

    def predict_proba(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) probabilities of good and defective."""
        defective = self._booster.predict(self._xgboost.DMatrix(values, nthread=1)).astype(np.float64)
        return np.stack((1.0 - defective, defective), axis=1)

    def get_booster(self) -> Any:
        """The model learnt, an `xgboost.Booster`."""
        return self._booster


def _lightgbm(seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_jobs=1, random_state=seed, verbose=-1)


def _gradient_boosting(seed: int) -> Any:
    """By histograms: the one of scikit-learn's that takes missing values as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _random_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_jobs=1, random_state=seed)


def _catboost(seed: int) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(thread_count=1, random_seed=seed, verbose=False, allow_writing_files=False)


_MAKERS = {
    "xgboost": XgboostVoice,
    "lightgbm": _lightgbm,
    "gradient_boosting": _gradient_boosting,
    "random_forest": _random_forest,
    "catboost": _catboost,
}


def _dropped(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    masked = values.copy()
    masked[drop_fields(np.isnan(values), rng)] = np.nan
    return masked
