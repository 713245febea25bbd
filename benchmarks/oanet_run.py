"""One repeat of OANet's benchmark: every method learns the same training parts, every scene tests them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.oanet_parts import NAMES, Parts, split
from benchmarks.oanet_peers import Film, xgboost_alone
from benchmarks.oanet_scores import aurc, calibration_error, scores
from engines.mask_learning import MOST_DROPPED
from engines.oanet_lessons import CLEAN, MASKED, RAW, Lessons
from engines.oanet_training import OanetSettings, OanetTrainer
from pipeline.intra_bagging import SERVING
from pipeline.oanet_training import Fusion, field_versions, lose_fields, train_fusion

SHARES = (0.0, 0.2, 0.4, MOST_DROPPED)
Row = dict[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a station loses: a share of its fields, and whether a grid of its pictures."""

    name: str
    missing: float
    grid: bool


SCENES = (
    *(Scene("clean" if share == 0 else f"missing_{share:.0%}", share, False) for share in SHARES),
    *(Scene("grid" if share == 0 else f"missing_{share:.0%}_grid", share, True) for share in (0.0, MOST_DROPPED)),
)

HARDEST = SCENES[-1].name


@dataclass(frozen=True, slots=True)
class Repeat:
    """Scene -> method -> figures, and figures of the gate and the bag on clean parts."""

    scenes: dict[str, dict[str, Row]]
    voices: dict[str, Row]


def run_repeat(
    parts: Parts, lessons: Lessons, seed: int, *, voices: Sequence[str] = (SERVING,), peers: bool = True,
    settings: OanetSettings | None = None, say: Say = lambda text: None,
) -> Repeat:  # fmt: skip
    """Split, train every method, test it in every scene. `peers`: FiLM and concatenation too."""
    train, test = split(parts.defective, seed)
    own = replace(settings or OanetSettings(), seed=seed)
    say("image branch alone")
    cnn = OanetTrainer(lessons, replace(own, fields=False, masks=False))
    cnn.train(train)
    say("OANet")
    fusion = train_fusion(NAMES, lessons, parts.values, train, own, voices=voices)
    xgboost = xgboost_alone(parts.values, parts.defective, train, seed)
    described = replace(lessons, fields=field_versions(fusion.bag.description, parts.values, seed))
    concat = film = None
    if peers:
        say("concatenation, FiLM")
        concat = OanetTrainer(described, replace(own, alignment=0.0, refine_epochs=0, all_stages=True))
        concat.train(train)
        film = Film(concat)
        film.train(train)
    rng = np.random.default_rng([seed, 10])
    scenes = {}
    for scene in SCENES:
        values = lose_fields(parts.values[test], rng, scene.missing)
        found = _singles(cnn, xgboost, fusion, test, values, scene)
        fields, version = fusion.bag.description.describe(values), MASKED if scene.grid else CLEAN
        if concat is not None and film is not None:
            found["concatenation"] = scores(concat.predict(test, fields, version).aligned, parts.defective[test])
            found["film"] = scores(film.predict(test, fields, version), parts.defective[test])
        scenes[scene.name] = found | _ours(fusion, test, values, version)
    heard = {name: scores(p, parts.defective[train]) for name, p in fusion.bag.out_of_fold.items()}
    if len(heard) > 1:
        heard["mean"] = scores(fusion.bag.mean, parts.defective[train])
    return Repeat(scenes, heard)


def _singles(
    cnn: OanetTrainer,
    xgboost: object,
    fusion: Fusion,
    test: NDArray[np.int64],
    values: NDArray[np.float64],
    scene: Scene,
) -> dict[str, Row]:
    """One modality each, and the average of the two that are not ours.

    `cnn_alone` sees what is lost as what good parts show there, as ours does; `cnn_alone_black` sees it black.
    """
    truth = cnn.lessons.defective[test]
    nothing = np.zeros((len(test), cnn.lessons.fields.shape[2]))
    image = cnn.predict(test, nothing, MASKED if scene.grid else CLEAN).image
    black = cnn.predict(test, nothing, RAW).image if scene.grid else image
    fields = np.asarray(xgboost.predict_proba(values)[:, 1], np.float64)  # type: ignore[attr-defined]
    return {
        "cnn_alone": scores(image, truth),
        "cnn_alone_black": scores(black, truth),
        "xgboost_alone": scores(fields, truth),
        "late_average": scores((image + fields) / 2, truth),
        "our_fields_voice": scores(fusion.bag.predict(values), truth),
    }


def _ours(fusion: Fusion, test: NDArray[np.int64], values: NDArray[np.float64], version: int) -> dict[str, Row]:
    """Table 1's rows: + alignment, + refinement, + gate; and the same rule without the gate."""
    truth = fusion.trainer.lessons.defective[test]
    found = fusion.trainer.predict(test, fusion.bag.description.describe(values), version)
    rows = {
        "our_image_voice": scores(found.image, truth),
        "alignment": scores(found.aligned, truth),
        "refinement": scores(found.fused, truth),
    }
    gated, gates = fusion.voices(test, values, version)
    fixed = replace(gated, image_weight=np.full(len(test), 0.5))
    for name, voices in (("ungated", fixed), ("gate", gated)):
        probability, threshold = fusion.rule.probability(voices), fusion.rule.threshold
        rows[name] = scores(probability, truth, threshold) | {
            "f1_at_half": scores(probability, truth)["f1"],
            "calibration_error": calibration_error(probability, truth),
            "aurc": aurc(probability, truth, threshold),
        }
    rows["gate"]["image_weight"] = float(np.mean([gate.image for gate in gates]))
    return rows
