from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.backbone_resnet import load_resnet18, resnet18_spec
from engines.backbone_student import STUDENT_WEIGHTS, load_student
from engines.features import FeatureExtractor
from schemas.errors import InputError, MissingExtra, SetupError


def picture(seed: int = 0, side: int = 96) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (1, 3, side, side), np.uint8)


def random_resnet(path: Path) -> Path:
    """Random arrays in the shapes of ResNet-18's, as .npz."""
    rng = np.random.default_rng(0)
    arrays, channels = {}, {"input": 3}
    widths = {"conv1": 64, "layer1": 64, "layer2": 128, "layer3": 256}
    for layer in resnet18_spec().layers:
        inputs = channels[layer.source]
        if not hasattr(layer, "weights"):
            channels[layer.output] = inputs
            continue
        outputs = widths[layer.weights.split(".")[0]]
        channels[layer.output] = outputs
        scale = (2 / (inputs * layer.kernel**2)) ** 0.5
        kernel = rng.normal(0, scale, (outputs, inputs, layer.kernel, layer.kernel))
        arrays[f"{layer.weights}.weight"] = kernel.astype(np.float32)
        arrays[f"{layer.weights}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_the_shipped_student_is_small_and_loads() -> None:
    assert STUDENT_WEIGHTS.stat().st_size <= 4_000_000
    student = load_student()
    features = FeatureExtractor(student, (96, 96)).features(picture())
    assert features.shape == (1, student.spec.channels, 12, 12)
    assert np.isfinite(features).all() and features.std() > 0.05


def test_features_are_those_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train' (torch)")
    from engines.backbone_torch import forward

    backbone = load_resnet18(random_resnet(tmp_path / "r.npz"))
    weights = {name: torch.from_numpy(value) for name, value in backbone.weights.items()}
    expected = forward(backbone.spec, weights, torch.from_numpy(picture()).float())["layer2"].numpy()
    found = FeatureExtractor(backbone, (96, 96)).features(picture())[:, 64:192]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_that_are_not_those_of_the_net_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", **{"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"few\.npz: not ResNet-18 weights .*lacks the array 'conv1.bias'"):
        load_resnet18(tmp_path / "few.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(InputError, match=r"text\.npz: not ResNet-18"):
        load_resnet18(tmp_path / "text.npz")
    with pytest.raises(SetupError, match="student weights"):
        load_student(tmp_path / "absent.npz")


def test_without_weights_and_torchvision_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingExtra, match="torchvision"):
        load_resnet18(None)
