"""From labelled parts to what fuses on the line: network, bag of trees, gate reference, fusion rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.mask_learning import MOST_DROPPED, drop_fields
from engines.oanet_lessons import CLEAN, MASKED, Lessons, Progress
from engines.oanet_training import OanetSettings, OanetTrainer
from pipeline.field_description import FieldDescription
from pipeline.fusion import FusionRule, Voices
from pipeline.gate import GateReference, StationGate, lost_share
from pipeline.intra_bagging import SERVING, Bag, bag_fields, folds_of
from schemas.verdict import Gate

N_FIELD_VERSIONS = 9
HELD_SHARES = (0.0, 0.2, 0.4, MOST_DROPPED)
"""Shares of missing fields on which the fusion rule is fitted, with and without a grid mask."""
HELD_FOLDS = 5
"""The fusion rule is fitted on one fold of so many, which the networks and trees that speak there did not learn."""


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """A trained OANet: `trainer` holds the network; `reference` is what the gate compares with."""

    trainer: OanetTrainer
    bag: Bag
    reference: GateReference
    rule: FusionRule

    def voices(
        self, parts: NDArray[np.int64], values: NDArray[np.float64], version: int = CLEAN, *, gated: bool = True
    ) -> tuple[Voices, list[Gate]]:
        """What each voice says of `parts`, sent by one station in this order; `values` (n, F) raw, NaN where missing.

        Without `gated` every weight is a half.
        """
        found = self.trainer.predict(parts, self.bag.description.describe(values), version)
        station = StationGate(self.reference)
        lost = lost_shares(self.trainer.lessons, parts, version)
        gates = [
            station.update(embedding, row, share).gate if gated else Gate(image=0.5, fields=0.5)
            for embedding, row, share in zip(found.embedding, values, lost, strict=True)
        ]
        weight = np.array([gate.image for gate in gates])
        return Voices(found.image, self.bag.predict(values), found.fused, weight), gates


def field_versions(description: FieldDescription, values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """(N_FIELD_VERSIONS, n, F'): `values` (n, F) described, as they are and with random fields missing."""
    rng = np.random.default_rng([seed, 5])
    versions = [values, *(lose_fields(values, rng) for _ in range(N_FIELD_VERSIONS - 1))]
    return np.stack([description.describe(each) for each in versions])


def lose_fields(
    values: NDArray[np.float64], rng: np.random.Generator, share: float | None = None
) -> NDArray[np.float64]:
    """`values` (n, F) with `share` of each part's fields missing; None: a random share up to MOST_DROPPED."""
    least, most = (0.0, MOST_DROPPED) if share is None else (share, share)
    return np.where(drop_fields(np.isnan(values), rng, most, least), np.nan, values)


def lost_shares(lessons: Lessons, parts: NDArray[np.int64], version: int) -> NDArray[np.float64]:
    """(n,) share of each picture that is lost in a version: lessons hold masked ones filled in."""
    from engines.oanet_lessons import RAW

    if version == CLEAN:
        return np.array([lost_share(each) for each in lessons.images_uint8(parts, CLEAN)])
    return np.array([lost_share(each) for each in lessons.images_uint8(parts, RAW)])


def train_fusion(
    names: tuple[str, ...],
    lessons: Lessons,
    values: NDArray[np.float64],
    train: NDArray[np.int64],
    settings: OanetSettings,
    *,
    voices: Sequence[str] = (SERVING,),
    progress: Progress | None = None,
) -> Fusion:
    """Train on the parts `train` of `lessons`, whose raw fields are `values` (N, F), NaN where missing.

    The fusion rule is fitted on a fifth of `train` by a network and trees that learnt the rest. Then the trees learn
    all anew, and the network learns on with all.
    Raises: InputError for too few parts; MissingExtra without torch or XGBoost.
    """
    fold = folds_of(lessons.defective[train], settings.seed, HELD_FOLDS)
    rest, held = train[fold != 0], train[fold == 0]
    bag = bag_fields(names, values[rest], lessons.defective[rest], seed=settings.seed)
    trainer = OanetTrainer(replace(lessons, fields=field_versions(bag.description, values, settings.seed)), settings)
    trainer.train(rest, progress)
    rule = _fit_rule(_fusion(trainer, bag, values, rest), values, held, settings.seed)
    bag = bag_fields(names, values[train], lessons.defective[train], voices=voices, seed=settings.seed)
    trainer.lessons = replace(lessons, fields=field_versions(bag.description, values, settings.seed))
    trainer.learn_on(train, progress)
    return replace(_fusion(trainer, bag, values, train), rule=rule)


def _fusion(trainer: OanetTrainer, bag: Bag, values: NDArray[np.float64], learnt: NDArray[np.int64]) -> Fusion:
    """What was learnt of the parts `learnt`, with a rule that trusts every voice alike."""
    embedding = trainer.predict(learnt, bag.description.describe(values[learnt])).embedding
    return Fusion(trainer, bag, GateReference.learn(embedding, values[learnt]), FusionRule((1.0, 1.0, 1.0), 0.0, 0.5))


def _fit_rule(fusion: Fusion, values: NDArray[np.float64], held: NDArray[np.int64], seed: int) -> FusionRule:
    """On parts not learnt: as they are, with fields missing, under a grid mask, both, and without any field."""
    rng = np.random.default_rng([seed, 6])
    own = values[held]
    scenes = [(np.full_like(own, np.nan), CLEAN)]
    for share in HELD_SHARES:
        scenes += [(lose_fields(own, rng, share), version) for version in (CLEAN, MASKED)]
    found = [fusion.voices(held, fields, version)[0] for fields, version in scenes]
    joined = Voices(*(np.concatenate([getattr(each, name) for each in found])
                      for name in ("image", "fields", "fused", "image_weight")))  # fmt: skip
    return FusionRule.fit(joined, np.tile(fusion.trainer.lessons.defective[held], len(scenes)))
