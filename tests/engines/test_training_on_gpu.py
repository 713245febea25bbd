"""Networks learn on a GPU what they learn on the CPU; the torch twin of numpy's steps is tried without one too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engines.mapping_training import Lesson, TwoLayers, descend
from engines.training_device import TrainingDevice
from tests.engines import oanet_parts
from tests.engines.test_imm import template

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'sightline[train]'")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU on this machine")


def lessons(seed: int) -> Callable[[], Lesson]:
    """Places (64, 12) around unit centres (64, 4), every fourth with a defect."""
    rng = np.random.default_rng(seed)

    def draw() -> Lesson:
        centres = rng.normal(size=(64, 4)).astype(np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        features = np.concatenate((centres, rng.normal(0, 0.3, (64, 8))), 1).astype(np.float32)
        features[48:] += 1
        return Lesson(features, centres, 16)

    return draw


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[needs_gpu, pytest.mark.gpu])])
def test_a_mapping_network_learns_in_torch_what_it_learns_in_numpy(device: TrainingDevice) -> None:
    from engines.mapping_torch import descend_on

    own, other = (TwoLayers.drawn(12, 24, 4, np.random.default_rng(1)) for _ in range(2))
    expected = descend(own, lessons(2), 60, 1e-2, 0.3)
    found = descend_on(device, other, lessons(2), 60, 1e-2, 0.3)
    assert expected[-1] < 0.5 * expected[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for ours, theirs in zip(other.arrays, own.arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.gpu
@needs_gpu
def test_a_matching_network_goes_on_on_a_gpu_as_on_the_cpu() -> None:
    from engines.imm_training import ImmSettings, train_imm

    settings = ImmSettings(n_steps=4, n_paper_steps=2, batch=4)
    expected, found = (train_imm(template(), [], settings, device=device) for device in ("cpu", "cuda"))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-3)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("branch", ["student", "resnet18"])
def test_oanet_learns_on_a_gpu(branch: str) -> None:
    given = oanet_parts.lessons(branch)
    trainer = oanet_parts.trained(given, replace(oanet_parts.QUICK, device="cuda"))
    parts = np.arange(120, 160)
    fused = trainer.predict(parts, given.fields[0, parts]).fused
    defective = given.defective[parts]
    assert fused[defective].mean() > fused[~defective].mean() + 0.2
    trainer.network()
