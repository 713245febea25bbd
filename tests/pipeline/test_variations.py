from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.good_parts import PictureSet, load_good_parts
from pipeline.plate import write_good_parts
from pipeline.variations import with_variations


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> PictureSet:
    return load_good_parts(write_good_parts(tmp_path_factory.mktemp("golden"), 1), "grey", least=1)


def test_one_golden_part_becomes_many_that_differ_a_little(golden: PictureSet) -> None:
    varied = with_variations(golden, 6, seed=1)
    assert len(varied.pictures) == len(set(varied.names)) == 7
    original = varied.pictures[0].grey.astype(float)
    for picture in varied.pictures[1:]:
        apart = np.abs(picture.grey - original)
        assert 0.5 < apart.mean() < 20
        assert picture.grey.shape == original.shape


def test_the_same_seed_makes_the_same_variations_and_another_makes_others(golden: PictureSet) -> None:
    first, again, other = (with_variations(golden, 2, seed).pictures[-1].grey for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_negative_number_is_refused(golden: PictureSet) -> None:
    with pytest.raises(ValueError, match="-1 variations"):
        with_variations(golden, -1, 0)


def test_a_single_part_without_variations_is_too_few_to_learn_from(tmp_path: Path) -> None:
    from schemas.errors import InputError

    with pytest.raises(InputError, match="too few"):
        load_good_parts(write_good_parts(tmp_path, 1))
