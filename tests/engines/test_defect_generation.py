from __future__ import annotations

import numpy as np

from engines.defect_generation import changed_cells, generate_defects


def part(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A grey, noisy part, (96, 128, 3)."""
    grey = np.random.default_rng(seed).integers(90, 140, (96, 128, 1))
    return np.repeat(grey, 3, axis=2).astype(np.uint8)


def test_what_is_called_changed_is_changed_and_nothing_else_is_changed_much() -> None:
    for seed in range(8):
        spoilt, changed = generate_defects(np.random.default_rng(seed), part(), None, 3)
        away = np.abs(spoilt.astype(int) - part()).max(2)
        assert changed.any() and away[changed].mean() > 8
        edge = np.pad(changed, 4)
        near = np.any([np.roll(edge, (y, x), (0, 1)) for y in range(-4, 5) for x in range(-4, 5)], axis=0)[4:-4, 4:-4]
        assert (away[~near] <= 8).mean() > 0.97


def test_defects_on_grey_parts_are_grey_and_lie_where_it_is_scored() -> None:
    scored = np.zeros((96, 128), np.bool_)
    scored[:, 64:] = True
    for seed in range(8):
        spoilt, changed = generate_defects(np.random.default_rng(seed), part(), scored, 2)
        assert (spoilt == spoilt[:, :, :1]).all()
        assert changed[:, 64:].sum() >= changed[:, :64].sum()


def test_a_part_that_is_scored_nowhere_gets_no_defect() -> None:
    spoilt, changed = generate_defects(np.random.default_rng(0), part(), np.zeros((96, 128), np.bool_), 2)
    assert not changed.any()
    np.testing.assert_array_equal(spoilt, part())


def test_cells_that_a_defect_hardly_touches_are_neither_good_nor_bad() -> None:
    changed = np.zeros((64, 64), np.bool_)
    changed[16:25, 16:25] = True
    shows, untouched = changed_cells(changed, 8)
    assert shows.shape == (8, 8)
    assert shows[2, 2] and not untouched[2, 2]
    assert untouched[6, 6] and not shows[6, 6]
    assert not (shows & untouched).any()
    small = np.zeros((64, 64), np.bool_)
    small[33:35, 33:35] = True
    assert changed_cells(small, 8)[0].sum() >= 1
    assert not changed_cells(np.zeros((64, 64), np.bool_), 8)[0].any()


def test_on_the_fine_grid_a_defect_shows_in_the_tiles_it_covers() -> None:
    changed = np.zeros((64, 64), np.bool_)
    changed[16:24, 32:36] = True
    shows, untouched = changed_cells(changed, 4)
    assert shows.shape == (16, 16)
    assert np.argwhere(shows).tolist() == [[4, 8], [5, 8]]
    assert untouched.sum() == 254
