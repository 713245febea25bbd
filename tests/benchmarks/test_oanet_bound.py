"""The judge who knows the machine: it uses all that is left of a part, and nothing that is lost."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.oanet_bound import FieldJudge, best_f1, bound
from benchmarks.oanet_parts import NAMES
from benchmarks.oanet_run import HARDEST, SCENES
from pipeline.ase_line import PARAMETERS_SEVERITY, AseKind, AseLine
from pipeline.ase_parameters import draw_values


@pytest.fixture(scope="module")
def judge() -> FieldJudge:
    return FieldJudge.learn(1)


def _parts(severity: float, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng([2, int(severity)])
    return np.array([list(draw_values(rng, rng, severity).values()) for _ in range(n)])


def test_it_tells_moved_numbers_from_usual_ones_and_nothing_from_none(judge: FieldJudge) -> None:
    good, moved = judge.likelihood_ratio(_parts(0.0)), judge.likelihood_ratio(_parts(PARAMETERS_SEVERITY))
    assert (good < 1).mean() > 0.95 and (moved > 1).mean() > 0.95
    assert judge.likelihood_ratio(np.full((1, len(NAMES)), np.nan))[0] == 1.0


def test_a_number_that_follows_from_two_others_changes_nothing(judge: FieldJudge) -> None:
    parts, cut = _parts(PARAMETERS_SEVERITY, 20), _parts(PARAMETERS_SEVERITY, 20)
    cut[:, NAMES.index("US Power")] = np.nan
    assert np.allclose(judge.likelihood_ratio(parts), judge.likelihood_ratio(cut))
    kept = parts.copy()
    kept[:, NAMES.index("US Voltage")] = np.nan  # told again by power and current
    assert np.allclose(np.log(judge.likelihood_ratio(kept)), np.log(judge.likelihood_ratio(parts)), atol=1.5)


def test_nobody_is_better_with_less_nor_perfect_with_all() -> None:
    found = bound(seed=3, n_parts=300)
    f1 = {name: row["f1"] for name, row in found.items()}
    assert list(f1) == [scene.name for scene in SCENES]
    assert 1 > f1["clean"] > f1["missing_60%"] >= f1[HARDEST] > 0.8
    assert found["clean"]["f1_retention"] == 1.0 and found[HARDEST]["f1_retention"] < 1


def test_the_best_f1_counts_parts_alike_together() -> None:
    truth = np.array([True, False, True, False])
    assert best_f1(np.array([0.9, 0.5, 0.5, 0.1]), truth) == pytest.approx(2 * 2 / (3 + 2))


def test_a_fault_of_the_dots_changes_some_of_their_pixels_and_a_good_field_has_none() -> None:
    line = AseLine(3)
    looks = {line.draw_kind(index)[2]: index for index in range(60)}
    assert line.fault_pixels(looks[AseKind.DOTS]).any()
    assert not line.fault_pixels(looks[AseKind.GOOD]).any()
    assert line.fault_pixels(looks[AseKind.DOTS]).mean() < 0.1
