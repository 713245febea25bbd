"""The rows of OANet's two tables: means over repeats, each beside the best single modality and what is kept of F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.oanet_run import HARDEST, Repeat
from benchmarks.oanet_scores import summary

SINGLES = ("cnn_alone", "cnn_alone_black", "xgboost_alone", "our_image_voice", "our_fields_voice")
"""Methods that see one modality."""
Figures = dict[str, float]
Scenes = Mapping[str, Mapping[str, Figures]]


def by_scene(repeats: Sequence[Repeat]) -> dict[str, dict[str, Figures]]:
    """Scene -> method -> means of its figures and, of several repeats, deviations (`_sd`)."""
    scenes = repeats[0].scenes
    return {
        scene: {method: summary([each.scenes[scene][method] for each in repeats]) for method in methods}
        for scene, methods in scenes.items()
    }


def table_1(scenes: Scenes) -> dict[str, Figures]:
    """Method -> its figures on clean parts; `f1_retention`: what of F1 is left in the hardest scene."""
    best = _best_single(scenes["clean"])
    return {
        method: {**row, "f1_best_single": best, "f1_retention": _kept(scenes[HARDEST][method], row)}
        for method, row in scenes["clean"].items()
    }


def table_2(scenes: Scenes) -> dict[str, Figures]:
    """Scene -> figures of the gated verdict; `f1_retention`: its F1 over that on clean parts."""
    clean = scenes["clean"]["gate"]
    return {
        scene: {
            **methods["gate"],
            "f1_best_single": _best_single(methods),
            "f1_cnn_alone": methods["cnn_alone"]["f1"],
            "f1_retention": _kept(methods["gate"], clean),
        }
        for scene, methods in scenes.items()
    }


def mean_of(repeats: Sequence[Repeat], scene: str, method: str, figure: str) -> float:
    """Of one figure, not rounded."""
    return sum(each.scenes[scene][method][figure] for each in repeats) / len(repeats)


def _best_single(methods: Mapping[str, Figures]) -> float:
    return max(methods[name]["f1"] for name in SINGLES)


def _kept(row: Figures, clean: Figures) -> float:
    return round(row["f1"] / max(clean["f1"], 1e-9), 4)
