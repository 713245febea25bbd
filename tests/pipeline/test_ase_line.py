"""ASE-like pictures: repeatable, in the paper's proportions, with defects where they are said to be."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.ase_folder import write_ase_folder
from pipeline.ase_line import BLOCK, N_DEFECTIVE, AseKind, AseLine, AseSample
from pipeline.ase_panel import DOTS_PX, PanelStyle
from pipeline.ase_parameters import PARAMETERS, UNITS_PER_LOT, draw_values


@pytest.fixture(scope="module")
def samples() -> list[AseSample]:
    line = AseLine(3)
    return [line.sample(index) for index in range(40)]


def test_a_part_is_the_same_whatever_was_asked_for_before(samples: list[AseSample]) -> None:
    again = AseLine(3).sample(17)
    assert again.jpeg == samples[17].jpeg
    assert again.fields == samples[17].fields and again.kind is samples[17].kind
    assert AseLine(4).sample(17).jpeg != again.jpeg


def test_every_block_has_the_papers_587_good_and_384_defective_parts() -> None:
    line = AseLine(5)
    for block in range(2):
        kinds = [line.draw_kind(block * BLOCK + place)[0] for place in range(BLOCK)]
        assert sum(kind is not AseKind.GOOD for kind in kinds) == N_DEFECTIVE
        assert set(kinds) == set(AseKind)


def test_perfection_is_impossible_because_some_parts_look_like_the_opposite() -> None:
    line = AseLine(5)
    drawn = [line.draw_kind(index) for index in range(BLOCK)]
    contrary = [(kind, looks) for kind, shown, looks, _ in drawn if not shown]
    assert 15 < len(contrary) < 70
    assert all((kind is AseKind.GOOD) != (looks is AseKind.GOOD) for kind, looks in contrary)
    assert line.best_accuracy == pytest.approx(1 - (0.05 * 384 + 0.03 * 587) / 971)


def test_printed_values_keep_physics() -> None:
    for index in range(200):
        rng, lot = np.random.default_rng([1, index]), np.random.default_rng([2, index // UNITS_PER_LOT])
        values = draw_values(rng, lot, 3.0 * (index % 2))
        assert values["US Power"] == pytest.approx(values["US Current"] * values["US Voltage"], abs=0.5)
        assert values["Height Min"] < values["Height Avg"] < values["Height Max"]
        assert all(each.low <= values[each.name] <= each.high for each in PARAMETERS)


def test_text_and_value_of_a_field_agree(samples: list[AseSample]) -> None:
    for sample in samples:
        for printed in sample.fields.values():
            assert float(printed.text) == printed.value and printed.text not in ("-0.00", "-0.0")


def test_the_dots_lie_lower_left_and_are_pink(samples: list[AseSample]) -> None:
    picture = samples[0].picture
    assert picture.shape == (480, 640, 3)
    x, y, w, h = DOTS_PX
    assert x < 320 and y > 200 and samples[0].dots.shape == (h, w, 3)
    red, green, blue = (float(channel) for channel in samples[0].dots.reshape(-1, 3).max(axis=0))
    assert red > green and blue > green and red > 200


def test_a_defect_in_the_parameters_alone_leaves_the_dots_as_they_were() -> None:
    line, other = AseLine(9), AseLine(9, hidden=0.5)
    index = next(i for i in range(BLOCK) if line.draw_kind(i)[2] is AseKind.PARAMETERS)
    good_dots = draw_good_dots(line, index)
    assert np.abs(line.sample(index).dots.astype(int) - good_dots).mean() < 6
    assert other.sample(index).kind is line.sample(index).kind


def draw_good_dots(line: AseLine, index: int) -> np.ndarray:
    """The dots of part `index` as they would be on a good part."""
    from pipeline.ase_dots import draw_dots

    return draw_dots(np.random.default_rng([line.seed, index, 2]), 0.0).astype(int)


def test_a_running_machine_prints_units_after_the_numbers() -> None:
    columns, running = AseLine(3), AseLine(3, style=PanelStyle("roboto", 15.0, running=True))
    assert columns.sample(0).fields == running.sample(0).fields
    assert not np.array_equal(columns.sample(0).picture, running.sample(0).picture)


def test_a_folder_holds_pictures_labels_and_true_values(tmp_path: Path) -> None:
    labels = write_ase_folder(tmp_path, AseLine(3), 5, first=10)
    with labels.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 and {row["label"] for row in rows} <= {"good", "defective"}
    for row in rows:
        assert (tmp_path / row["picture"]).read_bytes().startswith(b"\xff\xd8")
        assert float(row["Stage Temp"]) > 100
