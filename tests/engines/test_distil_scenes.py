from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engines.distil_scenes import board, metal, turned_part
from engines.textures import Picture


@pytest.mark.parametrize("scene", [metal, turned_part, board])
def test_a_scene_repeats_with_its_seed_and_differs_from_the_next(
    scene: Callable[[np.random.Generator, int], Picture],
) -> None:
    first, again = (scene(np.random.default_rng(5), 48) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8
    rng = np.random.default_rng(0)
    assert len({scene(rng, 48).tobytes() for _ in range(6)}) == 6
