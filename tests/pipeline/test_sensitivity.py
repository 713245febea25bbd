"""What a training shows of its thresholds: the good parts that hold them up, where, and what they stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.backbone_student import load_student
from pipeline.good_parts import load_good_parts
from pipeline.plate import SimulatedLine, encode_png
from pipeline.report import draw_report
from pipeline.report_plots import PAPER
from pipeline.training import TrainedModel, TrainSettings, sharpened, train_model
from pipeline.training_summary import summarise
from schemas.verdict import Thresholds

SIZE_PX, N_GOOD, MARKED = 192, 24, 7
MARK = (120, 70)


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Learnt from plates of which one carries a mark that nobody called a defect."""
    folder, line = tmp_path_factory.mktemp("good"), SimulatedLine(size_px=SIZE_PX, defect_rate=0.0)
    for index in range(N_GOOD):
        picture = line.unit(index).picture.copy()
        if index == MARKED:
            cv2.circle(picture, MARK, 3, (40,), -1)
        (folder / f"{index:02}.png").write_bytes(encode_png(picture))
    good = load_good_parts(sorted(folder.iterdir()))
    return train_model(good, load_student(None), TrainSettings(), quiet)


def test_the_marked_part_is_shown_first_and_the_ring_lies_on_its_mark(trained: TrainedModel) -> None:
    highest = trained.highest[0]
    assert highest.name == f"{MARKED:02}.png"
    assert np.hypot(highest.place[0] - MARK[0], highest.place[1] - MARK[1]) < 12
    assert [each.score for each in trained.highest] == sorted((each.score for each in trained.highest), reverse=True)


def test_generated_defects_are_counted_by_the_threshold_in_force(trained: TrainedModel) -> None:
    assert trained.suspects and len(trained.spoilt) == N_GOOD - len(trained.suspects)
    assert all(each.mask.any() for each in trained.spoilt)
    middle = float(np.median(trained.spoilt_scores))
    limits = Thresholds(review=middle, fail=2 * middle)
    other = replace(trained, calibration=replace(trained.calibration, thresholds=limits))
    assert other.n_synthetic_caught == (trained.spoilt_scores >= middle).sum() >= len(trained.spoilt) / 2


def test_the_summary_names_who_holds_the_thresholds_up_and_what_looking_at_them_is_worth(
    trained: TrainedModel, tmp_path: Path
) -> None:
    out = tmp_path / "plate.bundle"
    out.write_bytes(b"")
    summary = summarise("plate", trained, np.array([]), 0, out, "0" * 64, 0)
    usual = [name for name, _ in summary.highest]
    assert len(usual) == 3 and not set(usual) & set(trained.suspects)
    assert summary.review_without_highest is not None
    assert summary.review_without_highest < summary.review
    held_up = summary.model_copy(update={"review_without_highest": 0.5 * summary.review})
    assert f"{usual[0]} (" in held_up.text() and "plate.report.png" in held_up.text()
    fair = summary.model_copy(update={"review_without_highest": 0.95 * summary.review})
    assert "without these" not in fair.text()
    assert f"of the {len(trained.spoilt)} generated stopped: 1 -> " in fair.text()
    assert trained.foreground is not None
    assert f"{trained.foreground.mean():.0%} of the picture is scored" in fair.text()
    assert "is scored" not in fair.model_copy(update={"scored_share": 1.0}).text()


def test_the_summary_counts_by_the_thresholds_that_defective_parts_sharpened(
    trained: TrainedModel, tmp_path: Path
) -> None:
    out = tmp_path / "plate.bundle"
    out.write_bytes(b"")
    tail, careful = trained.calibration.tail, trained.calibration.thresholds.review
    bad = np.array([0.5 * (tail.level(0.005) + careful), 9.0])
    known = sharpened(trained, bad, TrainSettings())
    summary = summarise("plate", known, bad, 3, out, "0" * 64, 0)
    assert summary.review == bad[0] < careful
    at_target = next(each for each in summary.synthetic_trade_off if each.false_calls_per_1000 == 5.0)
    assert (at_target.review, at_target.n_stopped) == (summary.review, summary.n_synthetic_caught)
    assert summary.n_bad_caught == summary.trade_off[2].n_stopped == 3


def test_the_report_shows_every_row_with_and_without_known_defective_parts(trained: TrainedModel) -> None:
    pictures = [
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        for png in (draw_report("plate", trained), draw_report("plate", trained, np.array([1.5, 2.5, 3.0])))
    ]
    plain, known = (np.asarray(picture) for picture in pictures)
    assert plain.shape == known.shape == (1000, 1200, 3)
    for row in range(4):
        assert plain[250 * row : 250 * (row + 1)].std() > 10
    assert np.array_equal(plain[:750], known[:750]) and not np.array_equal(plain[750:], known[750:])


def test_no_words_of_the_report_run_out_of_it(trained: TrainedModel) -> None:
    name = "line-3-station-12-lot-4711-unit-000123.png"
    named = replace(trained, highest=tuple(replace(each, name=name) for each in trained.highest), suspects=(name,))
    report = np.asarray(cv2.imdecode(np.frombuffer(draw_report("plate", named), np.uint8), cv2.IMREAD_COLOR))
    assert (report[:, -4:] == PAPER).all()
    captions = report[250 + 26 + 200 : 500]
    for right_px in range(200, 1201, 200):
        assert (captions[:, right_px - 2 : right_px] == PAPER).all()


def test_the_scored_region_is_outlined_also_on_a_black_table(trained: TrainedModel) -> None:
    black = replace(trained, template=np.zeros_like(trained.template))
    report = np.asarray(cv2.imdecode(np.frombuffer(draw_report("plate", black), np.uint8), cv2.IMREAD_COLOR))
    template, region = (report[30:218, 200 * tile + 6 : 200 * tile + 194] for tile in (0, 1))
    assert not template.any() and (region[:, :, 2] > 150).sum() > 200
