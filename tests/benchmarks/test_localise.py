from __future__ import annotations

import cv2
import numpy as np
import onnx

from benchmarks.localise_efficientad import efficientad_model
from benchmarks.localise_peers import NaiveChain, trunk
from pipeline.plate import SimulatedLine


def test_the_trunk_gives_the_three_stages_whatever_its_weights() -> None:
    session = trunk(None, 64, 1)
    levels = session.run(None, {"picture": np.zeros((1, 3, 64, 64), np.uint8)})
    assert [level.shape for level in levels] == [(1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4)]
    assert all(np.isfinite(level).all() for level in levels)


def test_efficientad_has_the_maps_and_the_weights_of_the_publication() -> None:
    model = onnx.load_model_from_string(efficientad_model())
    sizes = [np.prod(each.dims) for each in model.graph.initializer if len(each.dims) == 4]
    kernels = [int(size) for size in sizes]
    describing = [128 * 3 * 16, 256 * 128 * 16, 256 * 256 * 9, 384 * 256 * 16]
    assert kernels[:4] == describing and kernels[4:7] == describing[:3] and kernels[7] == 2 * describing[3]
    assert [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [1, 1, 56, 56]


def test_the_naive_chain_scores_a_changed_part_above_the_template_itself() -> None:
    template = SimulatedLine(size_px=128, defect_rate=0).unit(3).picture
    spoilt = template.copy()
    spoilt[40:70, 40:70] = 255 - spoilt[40:70, 40:70]
    chain = NaiveChain(trunk(None, 128, 1), template)
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in (template, spoilt)]
    good, bad = (chain.score(jpeg) for jpeg in jpegs)
    assert bad > 1.5 * good
    enlarged = NaiveChain(trunk(None, 128, 1), template, ecc_side_px=256)
    good, bad = (enlarged.score(jpeg) for jpeg in jpegs)
    assert bad > 1.2 * good
