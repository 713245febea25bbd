from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from engines.backbone import on_grid
from engines.backbone_student import load_student
from engines.feature_fit import FitSettings, Scatter, fit_model, fit_projection
from engines.feature_model import FeatureModel
from engines.features import FeatureExtractor, grid_size
from tests.engines.exported import exported_grids, pictures


@pytest.mark.parametrize("size_px", [(64, 64), (72, 40), (96, 88)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stride_px", [8, 4])
def test_the_exported_graph_scores_as_the_model_does(size_px: tuple[int, int], masked: bool, stride_px: int) -> None:
    backbone, grid = on_grid(load_student(), stride_px), grid_size(size_px, stride_px)
    good = pictures(12, *size_px)
    cells = np.ones((12, *grid), np.bool_)
    if masked:
        cells[:, : grid[0] // 2] = False
    plain = FeatureExtractor(backbone, size_px).features(good)
    assert plain.shape == (12, backbone.spec.channels, *grid)
    scatter = Scatter(backbone.spec.channels, grid)
    for picture, counted in zip(plain, cells, strict=True):
        scatter.add(picture, counted)
    settings = FitSettings(dimensions=48, centres=4)
    projection = fit_projection(scatter.within(), settings, seed=0)
    projected = FeatureExtractor(backbone, size_px, projection=projection).features(good)
    np.testing.assert_allclose(projected, np.einsum("dc,nchw->ndhw", projection, plain), atol=2e-3)
    model = fit_model(projection, projected, cells, settings, seed=0).scaled(2.0)
    grids = exported_grids(model, backbone, size_px)
    assert grids[2].max() > 1.5 * grids[:2].max()
    if masked:
        assert not grids[:, :, : grid[0] // 2].any()


def test_several_centres_tolerate_what_comes_in_several_kinds() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(0, 10, (3, 8))
    projected = (kinds[rng.integers(0, 3, 60)] + rng.normal(0, 1, (60, 8))).astype(np.float32)[:, :, None, None]
    between = kinds.mean(0).astype(np.float32)[None, :, None, None]
    cells, projection = np.ones((60, 1, 1), np.bool_), np.eye(8, dtype=np.float32)
    several = fit_model(projection, projected, cells, FitSettings(8, centres=6), seed=0)
    single = fit_model(projection, projected, cells, FitSettings(8, centres=1), seed=0)
    assert several.score(between)[0] > 2 * np.median(several.score(projected))
    assert single.score(between)[0] < np.median(single.score(projected))


def test_an_outlier_among_the_good_gets_no_centre_of_its_own() -> None:
    rng = np.random.default_rng(0)
    projected = rng.normal(0, 1, (40, 8, 2, 2)).astype(np.float32)
    projected[7, :, 1, 1] += 30
    model = fit_model(np.eye(8, dtype=np.float32), projected, np.ones((40, 2, 2), np.bool_), FitSettings(8), seed=0)
    scores = model.score(projected)
    assert scores[7, 1, 1] > 5 * np.delete(scores.reshape(40, 4), 7, axis=0).max()


def test_a_place_that_hardly_any_picture_shows_is_not_scored() -> None:
    rng = np.random.default_rng(0)
    cells = np.ones((20, 3, 3), np.bool_)
    cells[2:, 0, 0] = False
    model = fit_model(
        np.eye(4, dtype=np.float32), rng.normal(0, 1, (20, 4, 3, 3)).astype(np.float32), cells, FitSettings(4), seed=0
    )
    assert 0 not in model.places
    assert model.score(np.full((1, 4, 3, 3), 50, np.float32))[0, 0, 0] == 0


def test_a_frame_is_judged_by_its_own_level_as_far_as_power_says() -> None:
    """Twice as restless everywhere: half as much by power 1, unchanged by power 0; never beyond the least level."""
    grid, d = (2, 4), 3
    places = np.arange(8)
    zeros = np.zeros((8, d), np.float32)
    plain = FeatureModel(np.eye(d, dtype=np.float32), grid, places, zeros, zeros + 1, zeros[:, None])
    distances = np.linspace(1, 8, 8, dtype=np.float32)[None]
    assert plain.n_below == 2
    assert plain.levels(distances).tolist() == [2.0]
    doubled = 2 * distances
    np.testing.assert_allclose(plain.graded(doubled) / plain.graded(distances), np.full((1, 2, 4), 2.0))
    relative = replace(plain, power=1.0)
    np.testing.assert_allclose(relative.graded(doubled), relative.graded(distances), rtol=1e-6)
    still = relative.scaled(1.0, least_level=2.0)
    eighth = np.asarray(distances / 8, np.float32)
    np.testing.assert_allclose(still.graded(eighth) / eighth.reshape(1, *grid), np.full((1, 2, 4), 0.5), rtol=1e-6)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_graph_grades_as_the_model_does(power: float) -> None:
    backbone, size_px = load_student(), (64, 64)
    good = pictures(9, *size_px)
    features = FeatureExtractor(backbone, size_px).features(good)
    cells = np.ones((9, *grid_size(size_px)), np.bool_)
    settings = FitSettings(centres=3, power=power)
    projection = np.eye(backbone.spec.channels, dtype=np.float32)
    model = fit_model(projection, features, cells, settings, seed=0).scaled(1.5, least_level=0.4)
    session = onnxruntime.InferenceSession(model.export(backbone, size_px), providers=["CPUExecutionProvider"])
    odd = pictures(2, *size_px, seed=1)
    odd[1, :, 20:40, 20:40] = 255
    (found,) = session.run(None, {"picture": odd})
    expected = model.score(FeatureExtractor(backbone, size_px).features(odd))
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-3 * expected.max())
