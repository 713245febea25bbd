"""Every precision of `train`: one graph, which the CPU's backends run alike and TensorRT, or its stand-in, takes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks.half_rounding import rounded_to_half
from deploy.cli import app
from engines.backends.choose import measure_backends
from engines.backends.onnxruntime import OnnxRuntimeEngine
from engines.backends.tensorrt_device import has_device
from engines.bundle import Bundle
from engines.engine import load_backend
from engines.parity import HALF_TOLERANCE_SHARE, compare, measure_parity, tolerance_of
from engines.precision import Precision
from pipeline.good_parts import read_picture
from pipeline.preparation import Preparation
from schemas.errors import SetupError
from tests.engines.backends.fake_tensorrt import Gpu, install
from tests.pipeline.precise_plates import judge_of, plate_bundle, plate_frames

FOR_TENSORRT: tuple[Precision, ...] = ("f32", "f16", "int8-symmetric")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plates")


@cache
def trained(folder: Path, precision: Precision) -> Bundle:
    return plate_bundle(folder, precision)


def scores_of(bundle: Bundle, backend: str, frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, 1, h, w) scores of frames (3, H, W)."""
    engine = load_backend(bundle, backend)
    try:
        return engine.infer(np.stack(frames))
    finally:
        engine.close()


@pytest.mark.parametrize("precision", ["f16", "int8-symmetric", "int8"])
def test_a_bundle_says_its_precision_and_every_cpu_backend_agrees_on_it(precision: Precision, folder: Path) -> None:
    bundle, frames = trained(folder, precision), plate_frames(8)
    assert bundle.manifest.precision == precision
    assert bundle.manifest.parity is not None and bundle.manifest.parity.holds
    reference, other = (scores_of(bundle, backend, frames) for backend in ("onnxruntime", "openvino"))
    judge, limits = judge_of(bundle, reference.shape[2:]), bundle.manifest.thresholds
    assert compare(reference, other, limits, judge, precision).holds
    plain = scores_of(trained(folder, "f32"), "onnxruntime", frames)
    found, wanted = ([judge(grid[0]) for grid in grids] for grids in (reference, plain))
    np.testing.assert_allclose(found, wanted, rtol=0.15)  # each is fitted to its own features, with its own thresholds


def test_half_precision_is_single_precision_within_its_stated_limit_also_when_every_layer_is_rounded(
    folder: Path,
) -> None:
    bundle, frames = trained(folder, "f16"), plate_frames(12)
    limits, size_px = bundle.manifest.thresholds, bundle.manifest.input_size_px
    reference = scores_of(bundle, "onnxruntime", frames)
    rounded = OnnxRuntimeEngine.load(rounded_to_half(bundle.model), size_px).infer(np.stack(frames))
    assert np.any(rounded != reference)
    found = compare(reference, rounded, limits, judge_of(bundle, reference.shape[2:]), "f16")
    assert found.holds and found.max_difference < tolerance_of(limits, reference, "f16")
    single = scores_of(trained(folder, "f32"), "onnxruntime", frames)
    assert np.abs(reference - single).max() < HALF_TOLERANCE_SHARE * limits.fail


@pytest.mark.parametrize("precision", FOR_TENSORRT)
@pytest.mark.parametrize("flags", [{"EXPLICIT_BATCH": 0}, {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}], ids=["8", "10"])
def test_tensorrts_stand_in_takes_the_whole_graph(
    precision: Precision, flags: dict[str, int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, frames = trained(folder, precision), plate_frames(2)
    install(monkeypatch, Gpu(flags=flags))
    report = measure_parity(bundle, frames, lambda grid: float(grid.max()), ["tensorrt"])
    assert [(each.backend, each.precision, each.holds) for each in report.entries[1:]] == [
        ("tensorrt", precision, True)
    ]


def test_auto_passes_over_tensorrt_for_eight_bits_from_zero_points_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = trained(folder, "int8")
    install(monkeypatch, Gpu())
    choice = measure_backends(bundle, backends=("onnxruntime", "tensorrt"))
    assert choice.backend == "onnxruntime"
    assert "train with --precision int8-symmetric, f16 or f32" in choice.measurements[1].why_not


def test_parity_says_why_a_backend_is_left_out_and_refuses_when_it_is_insisted_on(folder: Path) -> None:
    trained(folder, "int8")
    command = ["bundle", "parity", str(folder / "int8.bundle")]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0
    assert "tensorrt     left out: the bundle's model is int8" in ran.output
    refused = CliRunner().invoke(app, [*command, "--backend", "tensorrt"])
    assert isinstance(refused.exception, SetupError) and "--precision int8-symmetric" in str(refused.exception)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", FOR_TENSORRT)
def test_tensorrt_agrees_with_onnx_runtime(precision: Precision, folder: Path) -> None:
    if not has_device():
        pytest.skip("no NVIDIA GPU with tensorrt and pycuda: pip install 'sightline[gpu]'")
    bundle, frames = trained(folder, precision), plate_frames(24)
    shape = scores_of(bundle, "onnxruntime", frames[:1]).shape[2:]
    report = measure_parity(bundle, frames, judge_of(bundle, shape), ["tensorrt"])
    print(report.model_dump_json())
    assert [each.backend for each in report.entries] == ["onnxruntime", "tensorrt"] and report.holds


@pytest.mark.parametrize("precision", ["f16", "int8-symmetric"])
def test_real_parts_are_learnt_checked_and_inspected(precision: Precision, pictures_dir: Path, tmp_path: Path) -> None:
    sources, good, bundle = pictures_dir / "mvtec_screw", tmp_path / "good", tmp_path / "screw.bundle"
    if not sources.is_dir():
        pytest.skip(f"{sources} is missing")
    pictures = sorted((sources / "train" / "good").iterdir())
    good.mkdir()
    for picture in pictures[:24]:
        (good / picture.name).symlink_to(picture)
    train = ["train", "screw", "--good", str(good), "--out", str(bundle), "--precision", precision, "--input-px", "128"]
    for command in (train, ["bundle", "check", str(bundle)], ["inspect", str(bundle), *map(str, pictures[24:27])]):
        ran = CliRunner().invoke(app, command)
        assert ran.exit_code in (0, 1 if command[0] == "inspect" else 0), ran.output
        if command[0] == "bundle":
            assert f"MB, {precision}" in ran.output
    if precision == "f16":
        hold_when_rounded(Bundle.open(bundle), pictures[20:36])


def hold_when_rounded(bundle: Bundle, pictures: list[Path]) -> None:
    """Hold score grids of `pictures`, every layer rounded to half precision, to the limit of the gate."""
    preparation, size_px = Preparation.of_bundle(bundle), bundle.manifest.input_size_px
    prepared = (preparation.prepare(read_picture(each, preparation.decode_rules)[0])[1] for each in pictures)
    frames = np.stack([each.tensor for each in prepared if each is not None])
    reference = OnnxRuntimeEngine.load(bundle.model, size_px).infer(frames)
    rounded = OnnxRuntimeEngine.load(rounded_to_half(bundle.model), size_px).infer(frames)
    judge = judge_of(bundle, reference.shape[2:])
    found = compare(reference, rounded, bundle.manifest.thresholds, judge, "f16")
    assert len(frames) > 12 and found.max_difference > 0 and found.holds
