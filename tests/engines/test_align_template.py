"""The template is the good picture nearest to the others."""

from __future__ import annotations

import numpy as np
import pytest

from engines.align_settings import AlignSettings
from engines.align_template import choose_template
from engines.geometry import motion
from schemas.errors import SetupError
from tests.engines.brackets import SIZE, Grey, bracket, clip, nominal, picture


def good_pictures() -> list[Grey]:
    rng = np.random.default_rng(5)
    poses = [
        motion(SIZE, SIZE, float(rng.uniform(-3, 3)), float(rng.uniform(-3, 3)), float(rng.uniform(-30, 30)))
        for _ in range(7)
    ]
    return [picture(bracket(), truth, 6.0, k) for k, truth in enumerate(poses)]


def test_a_stray_picture_is_not_chosen() -> None:
    pictures = [picture(clip(), nominal()), np.full((128, 128), 90, np.uint8), *good_pictures()]
    chosen = choose_template(pictures, SIZE, AlignSettings(), n_candidates=9)
    assert chosen.index >= 2
    assert chosen.agreement > 0.9
    np.testing.assert_array_equal(chosen.grey, pictures[chosen.index])


def test_the_same_seed_chooses_the_same_template() -> None:
    pictures = good_pictures()
    one, other = (choose_template(pictures, SIZE, AlignSettings(), seed=4, n_candidates=3) for _ in range(2))
    assert one.index == other.index


def test_averaging_lowers_the_noise_and_keeps_the_part() -> None:
    pictures = good_pictures()
    plain = choose_template(pictures, SIZE, AlignSettings())
    averaged = choose_template(pictures, SIZE, AlignSettings(), n_averaged=7)
    assert averaged.index == plain.index
    assert averaged.n_averaged == 7
    inner = (slice(80, 98), slice(60, 78))
    assert averaged.grey[inner].std() < 0.7 * plain.grey[inner].std()


def test_a_template_is_reduced_to_the_size_asked_for() -> None:
    large = [picture(bracket(), nominal((256, 256)), size=(256, 256))] * 2
    assert choose_template(large, SIZE, AlignSettings()).grey.shape == (128, 128)


def test_without_pictures_that_can_serve_it_says_so() -> None:
    with pytest.raises(SetupError, match="no good pictures"):
        choose_template([], SIZE, AlignSettings())
    with pytest.raises(SetupError, match="enough contrast"):
        choose_template([np.full((128, 128), 9, np.uint8)] * 3, SIZE, AlignSettings())
