"""Boosted decision trees as plain arrays: learnt by XGBoost, evaluated here without it, saved without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel
from schemas.errors import SetupError

_LEAF = -1


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """Several models of many trees; probabilities are the mean of the models'.

    Nodes of all trees lie behind one another: `feature` (n,) int32, `threshold` (n,) float32 (a leaf's value),
    `left` and `right` (n,) int32 node numbers, -1 in leaves, `missing_left` (n,) bool. `roots` (t,) int32,
    `model` (t,) int32 of each tree, `base` (m,) float32 log odds of each model. `n_features` (1,) int32.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    roots: NDArray[np.int32]
    model: NDArray[np.int32]
    base: NDArray[np.float32]
    n_features: NDArray[np.int32]

    def predict(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) probabilities for `values` (n, features), NaN where missing. Raises: ValueError for another width."""
        if values.shape[1] != self.n_features[0]:
            raise ValueError(f"these trees know {self.n_features[0]} features, not {values.shape[1]}")
        logits = _sum_leaves(
            np.ascontiguousarray(values, np.float32), self.feature, self.threshold, self.left, self.right,
            self.missing_left, self.roots, self.model, self.base,
        )  # fmt: skip
        return np.asarray((1 / (1 + np.exp(-logits))).mean(1), np.float64)

    def to_bytes(self) -> bytes:
        """As .npz."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # np.savez writes the time of day
            for each in fields(self):
                content = io.BytesIO()
                np.save(content, getattr(self, each.name), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{each.name}.npy"), content.getvalue())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> BoostedTrees:
        """Raises: SetupError when it is no .npz of such arrays, or a node leads nowhere."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                trees = cls(**{each.name: held[each.name] for each in fields(cls)})
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as exc:
            raise SetupError(f"boosted trees cannot be read: {exc}; train the bundle again") from exc
        trees.check()
        return trees

    def check(self) -> None:
        """Raises: SetupError when following the nodes would leave the arrays or never end."""
        n, inner = len(self.feature), self.left != _LEAF
        number = np.arange(n)
        sound = (
            all(len(each) == n for each in (self.threshold, self.left, self.right, self.missing_left))
            and bool(((self.left > number) & (self.right > number) & (self.left < n) & (self.right < n))[inner].all())
            and bool(((self.feature >= 0) & (self.feature < self.n_features[0]))[inner].all())
            and bool(((self.roots >= 0) & (self.roots < n)).all())
            and len(self.roots) == len(self.model)
            and bool(((self.model >= 0) & (self.model < len(self.base))).all())
        )
        if not sound:
            raise SetupError("boosted trees are damaged: a node leads nowhere; train the bundle again")


def trees_of_xgboost(boosters: Sequence[bytes]) -> BoostedTrees:
    """The models in XGBoost's JSON (`Booster.save_raw("json")`) of binary logistic trees.

    Raises: SetupError for another objective, or categories.
    """
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("feature", "threshold", "left", "right", "missing")}
    roots: list[int] = []
    model: list[int] = []
    base: list[float] = []
    n_nodes = n_features = 0
    for number, content in enumerate(boosters):
        learner = json.loads(content)["learner"]
        if learner["objective"]["name"] != "binary:logistic":
            raise SetupError(f"trees of objective {learner['objective']['name']!r} are not served; binary:logistic is")
        share = float(learner["learner_model_param"]["base_score"].strip("[]"))
        base.append(float(np.log(share / (1 - share))))
        n_features = int(learner["learner_model_param"]["num_feature"])
        for tree in learner["gradient_booster"]["model"]["trees"]:
            if any(tree["split_type"]):
                raise SetupError("trees that split by category are not served")
            left, right = (np.array(tree[name], np.int32) for name in ("left_children", "right_children"))
            parts["feature"].append(np.array(tree["split_indices"], np.int32))
            parts["threshold"].append(np.array(tree["split_conditions"], np.float32))
            parts["left"].append(np.where(left == _LEAF, _LEAF, left + n_nodes).astype(np.int32))
            parts["right"].append(np.where(right == _LEAF, _LEAF, right + n_nodes).astype(np.int32))
            parts["missing"].append(np.array(tree["default_left"], np.bool_))
            roots.append(n_nodes)
            model.append(number)
            n_nodes += len(left)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return BoostedTrees(
        joined["feature"], joined["threshold"], joined["left"], joined["right"], joined["missing"],
        np.array(roots, np.int32), np.array(model, np.int32), np.array(base, np.float32),
        np.array([n_features], np.int32),
    )  # fmt: skip


@kernel
def _sum_leaves(
    values: NDArray[np.float32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    roots: NDArray[np.int32],
    model: NDArray[np.int32],
    base: NDArray[np.float32],
) -> NDArray[np.float64]:
    """(n, models) log odds: for every part the leaf of every tree it falls into."""
    sums = np.empty((values.shape[0], base.shape[0]), np.float64)
    for i in range(values.shape[0]):
        sums[i, :] = base
        for t in range(roots.shape[0]):
            node = roots[t]
            while left[node] != -1:
                value = values[i, feature[node]]
                if np.isnan(value):
                    node = left[node] if missing_left[node] else right[node]
                else:
                    node = left[node] if value < threshold[node] else right[node]
            sums[i, model[t]] += threshold[node]
    return sums
