"""The matching network: its geometry is the project's, its backends agree, its training resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import pytest
from numpy.typing import NDArray

from engines.geometry import motion, warp_to_template
from engines.imm import ImmGeometry, Weights, initial_weights
from engines.imm_graph import build_imm
from schemas.errors import SetupError
from tests.engines.brackets import Grey, bracket, nominal, picture

SIZE = (128, 96)


def template() -> Grey:
    return picture(bracket(), nominal(SIZE), size=SIZE)


def always(tx: float, ty: float, angle_deg: float) -> Weights:
    """Weights that give this pose whatever is seen."""
    weights = initial_weights(ImmGeometry.of(SIZE), 0)
    turn = np.radians(angle_deg)
    weights["pose.weight"][:] = 0
    weights["pose.bias"][:] = (tx, ty, 3 * np.sin(turn), 3 * np.cos(turn))
    return weights


def run_onnxruntime(model: bytes, frames: Grey) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    transform, aligned = onnxruntime.InferenceSession(model, options).run(None, {"frame": frames})
    return transform, aligned


def run_openvino(model: bytes, frames: Grey) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.compile_model(openvino.Core().read_model(model), "CPU", settings)(frames)
    return found["transform"], found["aligned"]


@pytest.mark.parametrize(("dx", "dy", "angle_deg"), [(0.0, 0.0, 0.0), (6.4, -4.8, 0.0), (-3.2, 2.4, 90.0), (5, 5, -37)])
def test_a_pose_becomes_the_transform_and_the_warp_of_the_geometry(dx: float, dy: float, angle_deg: float) -> None:
    model = build_imm(template(), always(2 * dx / SIZE[0], 2 * dy / SIZE[1], angle_deg))
    frame = picture(bracket(), motion(SIZE, SIZE, 2.0, 1.0, 10.0), size=SIZE)
    transform, aligned = run_onnxruntime(model, frame[None, None])
    truth = motion(SIZE, SIZE, dx, dy, angle_deg)
    np.testing.assert_allclose(transform[0], truth, atol=1e-3)
    warped = warp_to_template(frame.astype(np.float32), truth, SIZE)
    assert np.abs(aligned[0, 0] - warped)[8:-8, 8:-8].max() < 3.0


def test_onnxruntime_and_openvino_agree_to_a_hundredth_of_a_pixel() -> None:
    rng = np.random.default_rng(0)
    model = build_imm(template(), initial_weights(ImmGeometry.of(SIZE), 3))
    frames = rng.integers(0, 255, (4, 1, SIZE[1], SIZE[0])).astype(np.uint8)
    one, other = run_onnxruntime(model, frames), run_openvino(model, frames)
    corners = np.array([[0, 0, 1], [127, 0, 1], [0, 95, 1], [127, 95, 1]], np.float64).T
    assert np.abs(one[0] @ corners - other[0] @ corners).max() < 0.01
    assert np.abs(one[1] - other[1]).max() < 0.5


def run_tensorrt(model: bytes, frame: Grey) -> NDArray[np.float32]:
    """The transform (2, 3) of one frame (1, 1, H, W). Skips, saying what is missing, where TensorRT cannot run."""
    from engines.backends.tensorrt_network import TensorRtNetwork

    try:
        network = TensorRtNetwork.load(model, "0" * 64)
    except SetupError as missing:
        pytest.skip(str(missing))
    try:
        return np.asarray(network.run({"frame": frame})["transform"][0], np.float32)
    finally:
        network.close()


@pytest.mark.gpu
def test_tensorrt_agrees_with_onnxruntime_to_a_hundredth_of_a_pixel() -> None:
    model = build_imm(template(), initial_weights(ImmGeometry.of(SIZE), 3))
    frame = np.random.default_rng(0).integers(0, 255, (1, 1, SIZE[1], SIZE[0])).astype(np.uint8)
    one, other = run_onnxruntime(model, frame)[0][0], run_tensorrt(model, frame)
    corners = np.array([[0, 0, 1], [127, 0, 1], [0, 95, 1], [127, 95, 1]], np.float64).T
    assert np.abs((one - other) @ corners).max() < 0.01


def test_a_frame_is_placed_the_same_alone_and_in_a_batch() -> None:
    model = build_imm(template(), initial_weights(ImmGeometry.of(SIZE), 3))
    frames = np.random.default_rng(1).integers(0, 255, (3, 1, SIZE[1], SIZE[0])).astype(np.uint8)
    together, _ = run_onnxruntime(model, frames)
    for k in range(3):
        np.testing.assert_allclose(run_onnxruntime(model, frames[k : k + 1])[0][0], together[k], atol=1e-4)


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = initial_weights(ImmGeometry.of(SIZE), 0)
    weights["join1.bias"] = weights["join1.bias"][:-1]
    with pytest.raises(SetupError, match=r"join1\.bias"):
        build_imm(template(), weights)
    with pytest.raises(SetupError, match="no network fits"):
        ImmGeometry.of((251, 127))


class TestTraining:
    """Needs torch; skipped, and said so, without it."""

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Iterator[None]:
        torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'sightline[train]'")
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    def test_the_graph_computes_what_was_trained(self) -> None:
        import torch

        from engines.imm_training import predict_matrices

        geometry = ImmGeometry.of(SIZE)
        weights = initial_weights(geometry, 5)
        frame = picture(bracket(), motion(SIZE, SIZE, 2.0, 1.0, 10.0), size=SIZE)
        small = [
            torch.from_numpy(p.reshape(48, 2, 64, 2).mean(axis=(1, 3), dtype=np.float32)[None, None])
            for p in (frame, template())
        ]
        tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
        unit = predict_matrices(tensors, small[0], small[1], geometry).numpy()[0].astype(np.float64)
        transform, _ = run_onnxruntime(build_imm(template(), weights), frame[None, None])
        middle = np.array([63.5, 47.5])
        np.testing.assert_allclose(
            transform[0, :, :2] @ middle + transform[0, :, 2], middle + unit[:, 2] * (64, 48), atol=1e-2
        )
        np.testing.assert_allclose(np.diag(transform[0]), np.diag(unit), atol=1e-4)

    def test_training_that_was_broken_off_goes_on_as_if_it_had_not_been(self, tmp_path: Path) -> None:
        from engines.imm_training import ImmSettings, train_imm

        settings = ImmSettings(n_steps=4, n_paper_steps=2, batch=4)
        whole = train_imm(template(), [], settings)
        checkpoint = tmp_path / "imm.npz"

        class BrokenOff(Exception):
            pass

        def stop_after_three(step: int, total: int, loss: float) -> None:
            if step == 4:
                raise BrokenOff

        with pytest.raises(BrokenOff):
            train_imm(template(), [], settings, checkpoint=checkpoint, checkpoint_steps=3, report=stop_after_three)
        again = train_imm(template(), [], settings, checkpoint=checkpoint, checkpoint_steps=3)
        for name, value in whole.items():
            np.testing.assert_allclose(again[name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    def test_training_lowers_the_loss(self) -> None:
        from engines.imm_training import ImmSettings, train_imm

        losses: list[float] = []
        settings = ImmSettings(n_steps=50, n_paper_steps=0, batch=12, max_angle_deg=10.0, max_shift=0.05)
        train_imm(template(), [], settings, report=lambda step, total, loss: losses.append(loss))
        assert losses[-1] < 0.7 * losses[5]

    def test_a_checkpoint_of_other_pictures_is_not_gone_on_with(self, tmp_path: Path) -> None:
        from engines.imm_training import ImmSettings, train_imm

        checkpoint = tmp_path / "imm.npz"
        settings = ImmSettings(n_steps=1, n_paper_steps=0, batch=2)
        train_imm(template(), [], settings, checkpoint=checkpoint)
        with pytest.raises(SetupError, match="other pictures"):
            train_imm(255 - template(), [], settings, checkpoint=checkpoint)

    def test_a_damaged_checkpoint_is_refused(self, tmp_path: Path) -> None:
        from engines.imm_training import ImmSettings, train_imm

        checkpoint = tmp_path / "imm.npz"
        checkpoint.write_bytes(b"not arrays")
        with pytest.raises(SetupError, match="delete it"):
            train_imm(template(), [], ImmSettings(n_steps=1), checkpoint=checkpoint)
