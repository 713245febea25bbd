"""Score maps: where a score lies, what is never scored, and what the frame's score is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.manifest import ScoreSettings
from pipeline.score_map import UNSCORED, ScoreMapper, scored_pixels

SIZE_PX = (64, 48)
GRID = (6, 8)


def mapper(**changes: float) -> ScoreMapper:
    return ScoreMapper.build(ScoreSettings(**changes), SIZE_PX, GRID)  # type: ignore[arg-type]


def one_cell(row: int, column: int, value: float = 1.0) -> NDArray[np.float32]:
    grid = np.zeros(GRID, np.float32)
    grid[row, column] = value
    return grid


def test_a_cell_shows_at_its_own_place() -> None:
    for origin in (0.0, 3.5):
        made = mapper(grid_origin_px=origin, smooth_sigma_px=2.0).map(one_cell(2, 5))
        y, x = np.unravel_index(made.argmax(), made.shape)
        assert abs(x - (origin + 8 * 5)) <= 0.5 and abs(y - (origin + 8 * 2)) <= 0.5


def test_a_constant_grid_gives_a_constant_map_up_to_the_border() -> None:
    made = mapper().map(np.full(GRID, 0.7, np.float32))
    np.testing.assert_allclose(made, 0.7, rtol=1e-5)


def test_without_smoothing_it_is_linear_interpolation_as_in_opencv() -> None:
    grid = np.random.default_rng(0).random(GRID).astype(np.float32)
    expected = cv2.resize(grid, SIZE_PX, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(mapper(smooth_sigma_px=0.0).map(grid), expected, atol=1e-6)


def test_smoothing_is_the_gaussian_of_opencv() -> None:
    grid = np.random.default_rng(0).random(GRID).astype(np.float32)
    sharp = mapper(smooth_sigma_px=0.0).map(grid)
    expected = cv2.GaussianBlur(sharp, (33, 33), 4.0, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(mapper(smooth_sigma_px=4.0).map(grid), expected, atol=1e-5)


def test_pixels_that_may_not_be_scored_have_no_score_and_lend_none() -> None:
    scored = np.ones(SIZE_PX[::-1], np.bool_)
    scored[:, 32:] = False
    made = mapper().map(one_cell(2, 6, 100.0), scored)
    assert np.all(made[:, 32:] == UNSCORED)
    np.testing.assert_allclose(made[:, :32], 0.0, atol=1e-6)


def test_a_fully_scored_mask_changes_nothing() -> None:
    grid = np.random.default_rng(0).random(GRID).astype(np.float32)
    np.testing.assert_allclose(mapper().map(grid, np.ones((48, 64), np.bool_)), mapper().map(grid), rtol=1e-5)


def test_the_frame_score_is_what_enough_pixels_reach() -> None:
    score_map = np.zeros((48, 64), np.float32)
    score_map.ravel()[:20] = np.arange(1, 21)
    at = mapper(robust_area_px=5)
    assert at.frame_score(score_map) == 16.0
    assert at.frame_score(score_map, min_area_px=10) == 11.0
    assert mapper(robust_area_px=1).frame_score(score_map) == 20.0


def test_a_frame_with_too_few_pixels_to_score_has_no_score() -> None:
    score_map = np.full((48, 64), UNSCORED, np.float32)
    score_map.ravel()[:15] = 1.0
    assert mapper(robust_area_px=16).frame_score(score_map) == UNSCORED
    assert mapper(robust_area_px=15).frame_score(score_map) == 1.0
    assert mapper().frame_score(score_map, min_area_px=10**9) == UNSCORED


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), area=st.integers(1, 200), threshold=st.floats(0.1, 0.9))
def test_a_frame_reaches_a_threshold_exactly_when_enough_pixels_do(seed: int, area: int, threshold: float) -> None:
    score_map = np.random.default_rng(seed).random((48, 64)).astype(np.float32) ** 4
    reaches = mapper(robust_area_px=area).frame_score(score_map) >= threshold
    assert reaches == (np.count_nonzero(score_map >= threshold) >= area)


def test_scored_pixels_keep_off_the_edge_of_the_frame_but_not_of_the_template() -> None:
    valid = np.ones((20, 30), np.bool_)
    valid[:, 25:] = False
    kept = scored_pixels(valid, None, 3)
    assert kept is not None
    assert kept[:, :22].all() and not kept[:, 22:].any()


def test_where_everything_is_valid_the_foreground_alone_counts() -> None:
    foreground = np.zeros((4, 4), np.bool_)
    assert scored_pixels(None, None, 3) is None
    assert scored_pixels(None, foreground, 3) is foreground
    both = scored_pixels(np.ones((4, 4), np.bool_), foreground, 0)
    assert both is not None and not both.any()


@pytest.mark.parametrize("grid", [(1, 1), (1, 8)])
def test_a_grid_of_one_row_is_spread_over_everything(grid: tuple[int, int]) -> None:
    made = ScoreMapper.build(ScoreSettings(), SIZE_PX, grid).map(np.ones(grid, np.float32))
    np.testing.assert_allclose(made, 1.0, rtol=1e-5)


def test_a_cell_that_may_not_be_scored_says_nothing() -> None:
    mapper = ScoreMapper.build(ScoreSettings(), (32, 32), (4, 4))
    scored = np.ones((32, 32), np.bool_)
    scored[:8, 8:16] = False
    masked = mapper.masked(np.full((4, 4), 9, np.float32), mapper.cells(scored))
    assert np.argwhere(np.isnan(masked)).tolist() == [[0, 1]]
    assert mapper.masked(masked, None) is masked
