from __future__ import annotations

import numpy as np

from engines.distil_camera import exposed, seen_again
from engines.textures import collage


def test_cameras_send_a_scene_in_many_ways_some_grey_some_weak() -> None:
    scene = collage(np.random.default_rng(1), 64)
    rng = np.random.default_rng(0)
    sent = [exposed(rng, scene) for _ in range(60)]
    assert all(each.shape == scene.shape and each.dtype == np.uint8 for each in sent)
    spreads = [float(each.std()) for each in sent]
    assert min(spreads) < 0.4 * float(scene.std()) < max(spreads)
    grey = [bool((np.ptp(each.astype(int), axis=2) <= 2).mean() > 0.9) for each in sent]
    assert any(grey) and not all(grey)


def test_what_is_seen_again_is_the_same_scene_mostly_with_a_difference() -> None:
    rng = np.random.default_rng(0)
    n_alike = n_same = 0
    for _ in range(30):
        scene = exposed(rng, collage(rng, 96))
        again = seen_again(rng, scene)
        assert again.shape == scene.shape and again.dtype == np.uint8
        change = np.abs(again.astype(int) - scene).max(2)
        n_same += not change.any()
        n_alike += float(np.median(change)) < 24
    assert n_same < 8
    assert n_alike >= 27


def test_grey_pictures_are_seen_again_in_grey() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        grey = np.repeat(collage(rng, 64).mean(2, keepdims=True).astype(np.uint8), 3, 2)
        assert (np.ptp(seen_again(rng, grey).astype(int), axis=2) <= 1).all()
