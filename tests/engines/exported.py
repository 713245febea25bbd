"""What every localiser's exported graph must do: score pictures as the model itself scores their features."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import FeatureExtractor, grid_size
from engines.scoring_model import ScoringModel


def pictures(n: int, width: int, height: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Noisy views of one scene, (n, 3, height, width)."""
    rng = np.random.default_rng(seed)
    scene = (
        np.random.default_rng(42).integers(40, 200, (1, 3, height // 8 + 1, width // 8 + 1)).repeat(8, 2).repeat(8, 3)
    )
    return np.clip(scene[:, :, :height, :width] + rng.normal(0, 6, (n, 3, height, width)), 0, 255).astype(np.uint8)


def exported_grids(model: ScoringModel, backbone: Backbone, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """(3, 1, h, w) scores by the graph of two good pictures and one with a bright patch, checked against `model`."""
    session = onnxruntime.InferenceSession(model.export(backbone, size_px), providers=["CPUExecutionProvider"])
    odd = pictures(3, *size_px, seed=1)
    odd[2, :, -20:, 10:30] = 255
    grids = np.asarray(session.run(None, {"picture": odd})[0], np.float32)
    assert grids.shape == (3, 1, *grid_size(size_px, backbone.grid_stride_px))
    expected = model.score(FeatureExtractor(backbone, size_px, projection=model.projection).features(odd))
    np.testing.assert_allclose(grids[:, 0], expected, atol=2e-3 * expected.max())
    return grids
