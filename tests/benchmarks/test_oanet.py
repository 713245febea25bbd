"""OANet's benchmark: its scores, its split, its tables."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.oanet_parts import split
from benchmarks.oanet_report import tables
from benchmarks.oanet_rows import SINGLES, table_1, table_2
from benchmarks.oanet_run import HARDEST
from benchmarks.oanet_scores import aurc, calibration_error, scores, summary


def test_scores_are_those_of_the_textbook() -> None:
    truth = np.array([True, True, False, False])
    found = scores(np.array([0.9, 0.3, 0.6, 0.1]), truth)
    assert found == {"accuracy": 0.5, "recall": 0.5, "f1": 0.5, "auroc": 0.75}
    assert scores(np.array([0.9, 0.3, 0.6, 0.1]), truth, 0.2)["recall"] == 1.0


def test_a_probability_that_says_how_often_it_is_right_has_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20000)
    truth = rng.random(20000) < probability
    assert calibration_error(probability, truth) < 0.02
    assert calibration_error(np.full(20000, 0.9), truth) == pytest.approx(0.4, abs=0.02)


def test_sure_mistakes_cost_more_than_unsure_ones() -> None:
    truth = np.array([True, True, False, False])
    sure, unsure = np.array([0.9, 0.8, 0.99, 0.1]), np.array([0.9, 0.8, 0.51, 0.1])
    assert aurc(sure, truth, 0.5) > aurc(unsure, truth, 0.5) > 0


def test_a_split_keeps_the_shares_and_no_part_is_on_both_sides() -> None:
    defective = np.arange(100) < 40
    train, test = split(defective, 0)
    assert len(train) == 70 and len(test) == 30
    assert not set(train) & set(test)
    assert defective[train].sum() == 28


def test_tables_have_a_row_a_method_and_a_column_a_scene() -> None:
    row = {
        "accuracy": 0.8,
        "recall": 0.7,
        "f1": 0.75,
        "auroc": 0.8,
        "aurc": 0.1,
        "calibration_error": 0.05,
        "image_weight": 0.5,
    }
    mean = summary([row, row])
    scenes = {name: {"gate": mean, "ungated": mean} for name in ("clean", "grid")}
    kept = {name: {**mean, "f1_best_single": 0.6, "f1_retention": 1.0} for name in scenes}
    text = tables(
        {
            "branches": {"student": scenes},
            "table_2": {"student": kept},
            "repeats": {"student": 2},
            "side_px": {"student": 112},
            "bound": {name: {"f1": 0.95, "f1_retention": 1.0} for name in scenes},
            "voices": {"xgboost": row},
            "voices_absent": ["catboost"],
        }
    )
    assert "| + gate | 80.0 ± 0.0 | 70.0 ± 0.0 | 75.0 ± 0.0 | 80.0 ± 0.0 |" in text
    assert "| F1 / AUROC | clean | grid |" in text
    assert "| F1 of the best single modality | 0.600 | 0.600 |" in text
    assert "| F1 of a judge who knows the machine | 0.950 | 0.950 |" in text
    assert "Not installed: catboost." in text


def test_every_row_says_f1_the_best_single_modality_what_is_kept_and_auroc() -> None:
    def methods(f1: float, single: float) -> dict[str, dict[str, float]]:
        row = {"f1": f1, "auroc": 0.9}
        return {"gate": row, **{name: {"f1": single, "auroc": 0.7} for name in SINGLES}}

    scenes = {"clean": methods(0.8, 0.7), HARDEST: methods(0.6, 0.5)}
    first, second = table_1(scenes), table_2(scenes)
    for row in (*first.values(), *second.values()):
        assert {"f1", "f1_best_single", "f1_retention", "auroc"} <= set(row)
    assert first["gate"]["f1_retention"] == second[HARDEST]["f1_retention"] == pytest.approx(0.75)
    assert (second["clean"]["f1_best_single"], second[HARDEST]["f1_best_single"]) == (0.7, 0.5)
