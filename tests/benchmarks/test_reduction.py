"""The reductions' benchmark: what it says about placing."""

from __future__ import annotations

import numpy as np

from benchmarks.reduction import FRAME_SIDE_PX, INPUT_SIDE_PX, placing_error_px
from engines.geometry import compose, motion
from pipeline.plate import Pose

FRAME, INPUT = (FRAME_SIDE_PX, FRAME_SIDE_PX), (INPUT_SIDE_PX, INPUT_SIDE_PX)


def test_placing_is_judged_without_knowing_how_the_template_lay() -> None:
    rng = np.random.default_rng(0)
    poses = [Pose(rng.uniform(-15, 15), rng.uniform(-15, 15), rng.uniform(-3, 3)) for _ in range(20)]
    template = motion(INPUT, INPUT, 1.5, -2.0, 1.2)
    found = [compose(motion(FRAME, INPUT, each.dx_px, each.dy_px, each.angle_deg), template) for each in poses]
    assert placing_error_px(found, poses) < 0.01
    for number, each in enumerate(found):
        each[0, 2] += 0.3 if number % 2 else -0.3
    assert 0.28 < placing_error_px(found, poses) < 0.32
