"""The map of a window, the baseline it is held against, and the marks that stand out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.baseline import MIN_BASELINE_FRAMES, Baseline, hit_rates, learn_baseline
from pipeline.gradient_map import deviation, magnitude, marks, presence
from pipeline.mark_picture import draw_mark
from pipeline.rolling_median import RollingMedian
from schemas.errors import SetupError
from tests.pipeline.aligned import Box, Line

SCRATCH: Box = (20, 30, 16, 3)


def window_of(mark_from: int, n: int = 31, line: Line | None = None) -> RollingMedian:
    made = line or Line()
    window = RollingMedian((made.size_px, made.size_px), np.dtype(np.uint8), 31)
    for number in range(n):
        window.push(made.picture(number, SCRATCH if number >= mark_from else None))
    return window


def test_good_parts_differ_from_the_baseline_by_noise_alone() -> None:
    strength = deviation(window_of(99), Line().baseline())
    inner = strength[2:-2, 2:-2]
    assert float(inner.max()) < 6.0
    assert 0.7 < float(np.sqrt((inner**2).mean() / 2)) < 1.2


def test_a_mark_on_most_parts_stands_out_and_on_few_does_not() -> None:
    baseline = Line().baseline()
    found = marks(deviation(window_of(8), baseline), 6.0, 6)
    assert len(found) == 1
    x, y, w, h = found[0].box_px
    assert abs(x - 20) <= 2 and abs(y - 30) <= 2 and abs(w - 16) <= 4 and abs(h - 3) <= 4
    assert marks(deviation(window_of(24), baseline), 6.0, 6) == []


def test_the_map_itself_shows_what_all_parts_share() -> None:
    shared = magnitude(window_of(0).twice_median())
    assert float(shared[30:33, 20].mean()) > 30
    blank = magnitude(RollingMedian((8, 8), np.dtype(np.uint8), 3).twice_median())
    assert not blank.any()


def test_presence_tells_the_frames_that_show_the_mark() -> None:
    window = window_of(8)
    assert presence(window, Line().baseline(), SCRATCH) == [number >= 8 for number in range(31)]


def test_a_baseline_survives_the_file_bit_for_bit() -> None:
    hits = np.zeros((60, 16, 16), bool)
    hits[3, 4, 5] = True
    baseline = learn_baseline([Line().picture(number) for number in range(60)], hits)
    again = Baseline.from_bytes(baseline.to_bytes())
    assert (again.median == baseline.median).all() and (again.noise == baseline.noise).all()
    assert again.background is not None and again.background[4, 5] == pytest.approx(2 / 61)
    assert again.to_bytes() == baseline.to_bytes()


def test_what_is_no_baseline_is_refused_with_a_remedy() -> None:
    with pytest.raises(SetupError, match="sightline baseline"):
        Baseline.from_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=f"at least {MIN_BASELINE_FRAMES}"):
        learn_baseline([Line().picture(1)] * 3)


def test_parts_that_wander_slowly_are_given_more_noise() -> None:
    line = Line()
    still = [line.picture(number) for number in range(60)]
    tall = np.random.default_rng(0).normal(0, 1, (64, 64)).cumsum(axis=1)
    wandering = [
        np.clip(frame + tall * 3 * np.sin(number / 20), 0, 255).astype(np.uint8) for number, frame in enumerate(still)
    ]
    assert learn_baseline(wandering).noise.mean() > 1.3 * learn_baseline(still).noise.mean()


def test_a_place_hit_once_among_good_parts_is_reckoned_more_restless_than_it_looks() -> None:
    hits = np.zeros((100, 4, 4), bool)
    hits[7, 0, 1] = True
    watched = np.ones((32, 32), bool)
    watched[:, 24:] = False
    rates = hit_rates(hits, watched)
    assert rates[0].tolist() == pytest.approx([1 / 101, 2 / 101, 1 / 101, 1.0])
    assert rates[3].tolist() == pytest.approx([0.5 / 101, 0.5 / 101, 0.5 / 101, 1.0])


def test_what_is_not_watched_or_hardly_ever_reached_never_stands_out() -> None:
    line = Line()
    pictures = [line.picture(number) for number in range(40)]
    reached = [None if number % 3 else np.arange(64)[None, :].repeat(64, 0) < 40 for number in range(40)]
    rarely = [np.arange(64)[None, :].repeat(64, 0) < 50] * 40
    foreground = np.ones((64, 64), bool)
    foreground[:10] = False
    baseline = learn_baseline(pictures, valid=reached, foreground=foreground)
    assert np.isinf(baseline.noise[:, :10]).all() and np.isfinite(baseline.noise[:, 12:-1, 1:-1]).all()
    assert np.isinf(learn_baseline(pictures, valid=rarely).noise[:, :, 51:]).all()


def test_good_parts_of_two_kinds_do_not_stand_out_when_one_kind_comes_in_a_row() -> None:
    line = Line()
    rng = np.random.default_rng(3)
    kinds = [line.picture(number, SCRATCH if rng.random() < 0.4 else None) for number in range(120)]
    window = RollingMedian((64, 64), np.dtype(np.uint8), 31)
    for number in range(31):
        window.push(line.picture(500 + number, SCRATCH if number < 20 else None))
    assert marks(deviation(window, learn_baseline(kinds)), 6.0, 6) == []


def test_the_picture_of_a_mark_is_the_same_bytes_every_time() -> None:
    strength = np.zeros((64, 64), np.float32)
    strength[30:33, 20:36] = 12.0
    drawn = [draw_mark(Line().picture(1), strength, 6.0, [SCRATCH], "plate") for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(b"\x89PNG")
