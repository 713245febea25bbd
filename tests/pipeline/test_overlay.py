"""Pictures for people: the colour is where the score is."""

from __future__ import annotations

import cv2
import numpy as np

from engines.geometry import resize_transform
from pipeline.overlay import draw_verdict, heat_map_png
from pipeline.score_map import UNSCORED
from schemas.verdict import Defect, Outcome
from tests.pipeline.frames import FRAME_PX, LIMITS, TEMPLATE_PX, plate_frame, template


def hot_map() -> np.ndarray:
    made = np.zeros((TEMPLATE_PX[1], TEMPLATE_PX[0]), np.float32)
    made[20:30, 40:60] = 2 * LIMITS.fail
    made[:, :4] = UNSCORED
    return made


def test_a_heat_map_colours_the_hot_place_and_leaves_the_rest_grey() -> None:
    picture = cv2.imdecode(np.frombuffer(heat_map_png(template(), hot_map(), LIMITS), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    spread = np.asarray(picture).max(axis=2).astype(int) - np.asarray(picture).min(axis=2)
    assert spread[20:30, 40:60].min() > 30
    spread[20:30, 40:60] = 0
    assert spread.max() == 0


def test_a_verdict_is_drawn_on_the_frame_as_sent() -> None:
    defect = Defect(bbox_px=(80, 40, 40, 20), template_bbox_px=(40, 20, 20, 10), area_px=200, score=0.3)
    drawn = draw_verdict(
        plate_frame(),
        outcome=Outcome.FAIL,
        caption="fail 0.300",
        defects=[defect],
        score_map=hot_map(),
        template_grey=template(),
        transform=resize_transform(TEMPLATE_PX, FRAME_PX),
        thresholds=LIMITS,
    )
    assert drawn.shape == (*FRAME_PX[::-1], 3)
    np.testing.assert_array_equal(drawn[40, 80], (60, 60, 255))
    np.testing.assert_array_equal(drawn[59, 119], (60, 60, 255))


def test_a_frame_that_was_not_aligned_is_drawn_without_map_or_edges() -> None:
    drawn = draw_verdict(
        plate_frame(), outcome=Outcome.UNINSPECTED, caption="", defects=[], score_map=None, template_grey=template(),
        transform=None, thresholds=LIMITS,
    )  # fmt: skip
    np.testing.assert_array_equal(drawn, np.dstack([plate_frame()] * 3))
