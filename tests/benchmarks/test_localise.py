from __future__ import annotations

import cv2
import numpy as np

from benchmarks.localise_peers import NaiveChain, trunk
from pipeline.plate import SimulatedLine


def test_the_trunk_gives_the_three_stages_whatever_its_weights() -> None:
    session = trunk(None, 64, 1)
    levels = session.run(None, {"picture": np.zeros((1, 3, 64, 64), np.uint8)})
    assert [level.shape for level in levels] == [(1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4)]
    assert all(np.isfinite(level).all() for level in levels)


def test_the_naive_chain_scores_a_changed_part_above_the_template_itself() -> None:
    template = SimulatedLine(size_px=128, defect_rate=0).unit(3).picture
    spoilt = template.copy()
    spoilt[40:70, 40:70] = 255 - spoilt[40:70, 40:70]
    chain = NaiveChain(trunk(None, 128, 1), template)
    good, bad = (chain.score(cv2.imencode(".jpg", picture)[1].tobytes()) for picture in (template, spoilt))
    assert bad > 1.5 * good
