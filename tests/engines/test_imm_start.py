"""The matching network starts the alignment, where it is right and where it is wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from engines.align import Aligner
from engines.align_settings import AlignSettings
from engines.geometry import motion
from engines.imm import ImmGeometry, fitting_size, initial_weights
from engines.imm_graph import build_imm
from engines.imm_start import NetworkStart, pose_only
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus
from tests.engines.brackets import SIZE, bracket, clip, error_px, nominal, picture

SETTINGS = AlignSettings(max_shift_px=40, residual_limit=0.4, start="network")


@cache
def always(tx: float, ty: float, angle_deg: float) -> bytes:
    """A network that gives this pose, shifts as shares of half the picture, whatever it sees."""
    weights = initial_weights(ImmGeometry.of(SIZE), 0)
    turn = np.radians(angle_deg)
    weights["pose.weight"][:] = 0
    weights["pose.bias"][:] = (tx, ty, 3 * np.sin(turn), 3 * np.cos(turn))
    return build_imm(picture(bracket(), nominal()), weights)


def test_the_start_is_the_networks_pose_at_the_size_of_the_frame() -> None:
    network = NetworkStart.load(always(2 * 6.0 / 128, -2 * 3.0 / 128, 40.0))
    found = network.start(np.zeros((128, 128), np.float32))
    assert found is not None
    np.testing.assert_allclose(found, motion(SIZE, SIZE, 6.0, -3.0, 40.0), atol=1e-3)
    larger = network.start(np.zeros((256, 256), np.float32))
    assert larger is not None
    np.testing.assert_allclose(larger, motion((256, 256), (256, 256), 12.0, -6.0, 40.0), atol=1e-3)


def test_the_spatial_transformer_is_left_out_of_what_the_line_runs() -> None:
    whole = onnx.load_model_from_string(always(0.0, 0.0, 0.0))
    pose = onnx.load_model_from_string(pose_only(always(0.0, 0.0, 0.0)))
    assert "GridSample" in {node.op_type for node in whole.graph.node}
    assert "GridSample" not in {node.op_type for node in pose.graph.node}
    assert [output.name for output in pose.graph.output] == ["transform"]


def test_a_part_near_the_networks_pose_is_refined_to_a_twentieth_of_a_pixel() -> None:
    aligner = Aligner.build(picture(bracket(), nominal()), SETTINGS, always(2 * 5.0 / 128, 0.0, -120.0))
    truth = motion(SIZE, SIZE, 4.0, 1.5, -117.0)
    result = aligner.align(picture(bracket(), truth, noise_grey=4.0))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.05


@pytest.mark.parametrize("angle_deg", [-160.0, -75.0, 30.0, 110.0])
def test_where_the_network_is_wrong_the_search_finds_the_part(angle_deg: float) -> None:
    aligner = Aligner.build(picture(bracket(), nominal()), SETTINGS, always(0.3, 0.3, 180.0))
    truth = motion(SIZE, SIZE, -6.0, 3.5, angle_deg)
    result = aligner.align(picture(bracket(), truth, noise_grey=4.0))
    assert result.status is AlignmentStatus.ALIGNED, result.detail
    assert error_px(result.transform, truth, aligner.mask) < 0.05


@pytest.mark.parametrize("frame", [picture(clip(), nominal()), np.full((128, 128), 255, np.uint8)])
def test_what_is_no_such_part_is_refused_as_from_the_search(frame: np.ndarray) -> None:
    aligner = Aligner.build(picture(bracket(), nominal()), SETTINGS, always(0.0, 0.0, 10.0))
    result = aligner.align(frame)
    assert result.status is AlignmentStatus.MISALIGNED
    assert result.detail


def test_a_bundle_without_its_network_or_with_a_broken_one_says_what_to_do() -> None:
    template = picture(bracket(), nominal())
    with pytest.raises(SetupError, match="train the bundle again"):
        Aligner.build(template, SETTINGS)
    with pytest.raises(SetupError, match="--align-start search"):
        Aligner.build(template, SETTINGS, b"no graph")


@pytest.mark.parametrize(("size", "fits"), [((256, 171), (256, 172)), ((251, 127), (252, 128)), ((64, 64), (64, 64))])
def test_a_size_that_no_network_takes_becomes_the_nearest_that_one_does(
    size: tuple[int, int], fits: tuple[int, int]
) -> None:
    assert fitting_size(size) == fits
    assert ImmGeometry.of(fits).size == fits


def test_a_part_four_times_as_long_as_wide_gets_no_network() -> None:
    with pytest.raises(SetupError, match="quarter"):
        fitting_size((256, 40))
