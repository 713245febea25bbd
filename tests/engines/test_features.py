"""Features on their grid: which part of the picture a cell speaks of, on the usual and on the fine grid."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engines.backbone import Backbone, on_grid, quantised
from engines.backbone_student import load_student
from engines.features import FeatureExtractor, add_place_features, grid_origin_px, grid_size
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session

SIDE_PX = 128
STRIDES = pytest.mark.parametrize("stride_px", [8, 4])


def scene(rng: np.random.Generator) -> NDArray[np.float64]:
    """A blurred picture, (3, SIDE_PX, SIDE_PX)."""
    coarse = rng.uniform(60, 190, (3, SIDE_PX // 16, SIDE_PX // 16))
    return np.asarray(np.kron(coarse, np.ones((16, 16))) + rng.normal(0, 6, (3, SIDE_PX, SIDE_PX)))


def spot(x_px: float, y_px: float, radius_px: float) -> NDArray[np.float64]:
    """(SIDE_PX, SIDE_PX), 1 in the middle of a soft spot."""
    ys, xs = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    return np.asarray(np.exp(-((xs - x_px) ** 2 + (ys - y_px) ** 2) / 2 / radius_px**2))


@STRIDES
def test_a_cell_answers_to_what_lies_in_the_middle_of_its_tile(stride_px: int) -> None:
    """Where features change when a spot appears, on average over spots, to 2 px; 1.5 on the fine grid."""
    rng = np.random.default_rng(0)
    extractor = FeatureExtractor(on_grid(load_student(), stride_px), (SIDE_PX, SIDE_PX))
    away = []
    for _ in range(40):
        x_px, y_px = rng.uniform(52, 76, 2)
        plain = scene(rng)
        shown = plain + spot(x_px, y_px, rng.uniform(2, 5)) * rng.choice([-80, 80])
        pair = np.stack([np.clip(each, 0, 255).astype(np.uint8) for each in (plain, shown)])
        before, after = extractor.features(pair)
        change = np.square(after - before).sum(0)
        change[change < 0.1 * change.max()] = 0
        at_px = grid_origin_px(stride_px) + stride_px * np.arange(len(change))
        away += [
            (change.sum(0) * at_px).sum() / change.sum() - x_px,
            (change.sum(1) * at_px).sum() / change.sum() - y_px,
        ]
    assert abs(np.mean(away)) < min(2.0, 0.375 * stride_px)


@STRIDES
@pytest.mark.parametrize("size_px", [(64, 64), (97, 81), (72, 100)])
def test_features_are_projected_as_they_are_mixed(stride_px: int, size_px: tuple[int, int]) -> None:
    backbone = on_grid(load_student(), stride_px)
    shown = np.random.default_rng(0).integers(0, 256, (1, 3, size_px[1], size_px[0]), np.uint8)
    projection = np.random.default_rng(1).normal(0, 1, (5, backbone.spec.channels)).astype(np.float32)
    plain = FeatureExtractor(backbone, size_px).features(shown)
    assert plain.shape == (1, backbone.spec.channels, *grid_size(size_px, stride_px))
    projected = FeatureExtractor(backbone, size_px, projection=projection).features(shown)
    np.testing.assert_allclose(projected, np.einsum("dc,nchw->ndhw", projection, plain), atol=1e-3)


def test_rounding_a_backbone_keeps_its_grid() -> None:
    shown = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8)
    rounded = quantised(on_grid(load_student(), 4), [shown[0]])
    assert FeatureExtractor(rounded, (64, 64)).features(shown).shape[2:] == (16, 16)


def test_what_is_finer_than_the_grid_is_halved_by_the_backbone_itself_on_its_own_bits() -> None:
    shown = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8)
    plain, halved = load_student(), on_grid(load_student(), 8)
    assert [level.stride_px for level in halved.spec.levels] == [8, 8, 16]
    pooled = FeatureExtractor(plain, (64, 64)).features(shown)  # levels that nobody halved are pooled
    np.testing.assert_allclose(FeatureExtractor(halved, (64, 64)).features(shown), pooled, atol=1e-3)
    rounded = quantised(halved, [shown[0]])
    assert rounded.ranges is not None and "stage4.halved" in rounded.ranges
    once_more = FeatureExtractor(rounded, (64, 64)).features(shown)
    only_pooled = FeatureExtractor(quantised(plain, [shown[0]]), (64, 64)).features(shown)
    finest = slice(0, halved.spec.levels[0].channels)
    clipped_at = once_more[:, finest].max(axis=(0, 2, 3), keepdims=True)
    off = np.abs(once_more - only_pooled)[:, finest][only_pooled[:, finest] < clipped_at]
    assert 0 < off.max() < 0.6 * clipped_at.max() / 127


def test_only_the_places_asked_for_are_projected() -> None:
    backbone, size_px = on_grid(load_student(), 8), (72, 56)
    shown = np.random.default_rng(0).integers(0, 256, (1, 3, size_px[1], size_px[0]), np.uint8)
    projection = np.random.default_rng(1).normal(0, 1, (5, backbone.spec.channels)).astype(np.float32)
    places = np.array([0, 7, 8, 30, 62], np.int64)
    all_of_them = _places(backbone, size_px, projection, None, shown)
    np.testing.assert_allclose(
        _places(backbone, size_px, projection, places, shown), all_of_them[:, places], rtol=1e-4, atol=1e-4
    )


def _places(
    backbone: Backbone,
    size_px: tuple[int, int],
    projection: NDArray[np.float32],
    places: NDArray[np.int64] | None,
    shown: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """(1, P, d) what `add_place_features` gives for `shown`."""
    graph = GraphBuilder()
    found = add_place_features(graph, backbone, "picture", size_px, projection, places)
    shape: list[int | str] = ["n", 3, size_px[1], size_px[0]]
    model = graph.build({"picture": (onnx.TensorProto.UINT8, shape)}, {"found": (found, ["n", "p", "d"])})
    return np.asarray(cpu_session(model, cpu_options(1)).run(None, {"picture": shown})[0], np.float32)


def test_a_backbone_on_its_grid_is_not_brought_to_another() -> None:
    halved = on_grid(load_student(), 8)
    for brought in (halved, quantised(load_student(), [np.zeros((3, 64, 64), np.uint8)])):
        with pytest.raises(ValueError, match="begin with it as loaded"):
            on_grid(brought, 4)


def test_grids_that_are_not_made_are_refused() -> None:
    with pytest.raises(ValueError, match="a grid of 2 px a cell is not made"):
        on_grid(load_student(), 2)
