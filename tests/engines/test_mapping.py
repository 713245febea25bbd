from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engines.backbone import on_grid
from engines.backbone_student import load_student
from engines.combined_model import CombinedModel
from engines.feature_fit import FitSettings, Scatter, fit_model, fit_projection
from engines.features import FeatureExtractor, grid_size
from engines.mapping_fit import Exposure, MappingSettings, fit_mapping
from engines.mapping_model import Dense, MappingModel
from engines.mapping_training import Lesson, TwoLayers, descend, loss_and_gradients
from engines.scoring_model import ScoringModel
from tests.engines.exported import exported_grids, pictures

QUICK = MappingSettings(hidden=32, mapped=16, steps=120, batch=256, rate=1e-2)


def scene(n: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Features (n, 8, 4, 4) of parts on which every place looks like itself, with a little noise."""
    own = np.random.default_rng(7).normal(0, 3, (8, 4, 4))
    return (own + np.random.default_rng(seed).normal(0, 0.5, (n, 8, 4, 4))).astype(np.float32)


def exposure(seed: int = 3) -> Exposure:
    """Two hundred places of parts 0 to 19; every other one has a defect, which shows in the last two channels."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 16, 200)
    features = scene(200, seed).reshape(200, 8, 16)[np.arange(200), :, places]
    shows = np.arange(200) % 2 == 0
    features[shows, 6:] += rng.choice([-6, 6], (100, 2))
    return Exposure(features.astype(np.float16), places, shows, np.arange(200) % 20)


def test_after_training_good_places_lie_at_their_centres_and_a_defect_away_from_them() -> None:
    cells, eye = np.ones((20, 4, 4), np.bool_), np.eye(8, dtype=np.float32)
    model = fit_mapping(eye, scene(20), cells, exposure(), QUICK, seed=0)
    unseen = scene(4, seed=9)
    unseen[0, 6:, 1, 2] += 6
    scores = model.score(unseen)
    assert scores[0, 1, 2] > 3 * np.delete(scores[0].ravel(), 6).max()
    assert scores[1:].max() < 0.1


def test_defects_teach_what_good_parts_alone_do_not() -> None:
    """The same unseen defect stands out more for a network that saw generated ones."""
    cells, eye = np.ones((20, 4, 4), np.bool_), np.eye(8, dtype=np.float32)
    unseen = scene(8, seed=9)
    unseen[:, 6:, 1, 2] += 6
    contrast = []
    for shown in (exposure(), None):
        scores = fit_mapping(eye, scene(20), cells, shown, QUICK, seed=0).score(unseen)
        contrast.append(scores[:, 1, 2].mean() / np.delete(scores.reshape(8, 16), 6, axis=1).mean())
    assert contrast[0] > 1.5 * contrast[1]


def test_a_place_that_hardly_any_part_shows_is_not_scored() -> None:
    cells = np.ones((20, 4, 4), np.bool_)
    cells[2:, 0, 0] = False
    model = fit_mapping(np.eye(8, dtype=np.float32), scene(20), cells, exposure(), QUICK, seed=0)
    assert 0 not in model.places
    assert not model.score(scene(3) + 9)[:, 0, 0].any()


def test_one_vector_is_the_target_of_every_place_when_asked() -> None:
    cells = np.ones((20, 4, 4), np.bool_)
    settings = replace(QUICK, target="vector", steps=5)
    model = fit_mapping(np.eye(8, dtype=np.float32), scene(20), cells, None, settings, seed=0)
    assert (model.centres == model.centres[0]).all()


def test_the_same_seed_trains_the_same_network_and_parts_held_back_are_held_back() -> None:
    cells, eye = np.ones((20, 4, 4), np.bool_), np.eye(8, dtype=np.float32)
    settings = replace(QUICK, steps=5)
    first, again = (fit_mapping(eye, scene(20), cells, exposure(), settings, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.layers[0].weight, again.layers[0].weight)
    assert set(exposure().of(np.arange(5)).parts) == set(range(5))


@pytest.mark.parametrize("localiser", ["alm", "both"])
@pytest.mark.parametrize(("size_px", "stride_px"), [((64, 64), 8), ((72, 40), 8), ((72, 44), 4)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_exported_graph_scores_as_the_trained_network_does(
    size_px: tuple[int, int], stride_px: int, masked: bool, localiser: str
) -> None:
    backbone, grid = on_grid(load_student(), stride_px), grid_size(size_px, stride_px)
    good = pictures(12, *size_px)
    cells = np.ones((12, *grid), np.bool_)
    if masked:
        cells[:, : grid[0] // 2] = False
    scatter = Scatter(backbone.spec.channels, grid)
    for picture, counted in zip(FeatureExtractor(backbone, size_px).features(good), cells, strict=True):
        scatter.add(picture, counted)
    projection = fit_projection(scatter.within(), FitSettings(dimensions=48), seed=0)
    projected = FeatureExtractor(backbone, size_px, projection=projection).features(good)
    mapping = fit_mapping(projection, projected, cells, None, QUICK, seed=0)
    model: ScoringModel = mapping
    if localiser == "both":
        model = CombinedModel(fit_model(projection, projected, cells, FitSettings(centres=3), seed=0), mapping)
    model = model.scaled(0.02, 0.1)
    grids = exported_grids(model, backbone, size_px)
    if masked:
        assert not grids[:, :, : grid[0] // 2].any()


def test_half_the_cosine_distance_runs_from_0_to_1() -> None:
    layers = (Dense(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)),)
    centres = np.array([[1.0, 0.0]], np.float32)
    model = MappingModel(np.eye(2, dtype=np.float32), layers, (1, 1), np.array([0]), centres)
    towards = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]], np.float32)[:, :, None, None]
    np.testing.assert_allclose(model.score(towards).ravel(), [0.0, 1.0, 0.5], atol=1e-6)


def test_the_gradients_are_those_that_torch_finds() -> None:
    torch = pytest.importorskip("torch", reason="torch (extra `train`) is not installed")
    rng = np.random.default_rng(0)
    net = TwoLayers.drawn(12, 16, 5, rng)
    centres = rng.normal(0, 1, (40, 5)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    lesson = Lesson(rng.normal(0, 1, (40, 12)).astype(np.float32), centres, 15)
    loss, gradients = loss_and_gradients(net, lesson, 0.6)
    w1, b1, w2, b2 = tensors = [torch.from_numpy(each.copy()).requires_grad_() for each in net.arrays]
    value = torch.relu(torch.from_numpy(lesson.features) @ w1.T + b1) @ w2.T + b2
    away = (1 - torch.cosine_similarity(value, torch.from_numpy(centres), dim=1)) / 2
    expected = (away[:25].sum() + (0.6 - away[25:]).clamp_min(0).sum()) / 40
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_a_descent_lowers_the_loss() -> None:
    rng = np.random.default_rng(0)
    net = TwoLayers.drawn(6, 16, 4, rng)
    centres = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 64)]
    lesson = Lesson(np.concatenate((centres, centres[:, :2]), 1), centres, 0)
    losses = descend(net, lambda: lesson, 100, 1e-2, 0.1)
    assert losses[0] > 0.1
    assert losses[-1] < 0.02
