"""Which pixels of the template are scored."""

from __future__ import annotations

import cv2
import numpy as np

from engines.align_settings import AlignSettings
from pipeline.placing import part_pixels
from pipeline.plate import SimulatedLine
from pipeline.preparation import Preparation

SIDE_PX = 192


def plate() -> Preparation:
    return Preparation.build(SimulatedLine(size_px=SIDE_PX, defect_rate=0.0).unit(0).picture, "grey", AlignSettings())


def test_the_part_is_scored_or_everything_as_asked() -> None:
    preparation = plate()
    part = part_pixels(preparation, "part", None, (SIDE_PX, SIDE_PX))
    assert part is not None and 0.3 < part.mean() < 0.9
    assert not part[:4].any() and part[SIDE_PX // 2, SIDE_PX // 2]
    assert part_pixels(preparation, "all", None, (SIDE_PX, SIDE_PX)) is None


def test_where_the_frame_shows_the_part_bounds_what_is_scored() -> None:
    preparation = plate()
    box, frame = (0, 0, SIDE_PX, 2 * SIDE_PX), (2 * SIDE_PX, 2 * SIDE_PX)  # the left half of frames twice the size
    for scored in ("part", "all"):
        found = part_pixels(preparation, scored, box, frame)
        assert found is not None and found[:, : SIDE_PX // 2].any() and not found[:, SIDE_PX // 2 :].any()


def test_a_colour_template_is_told_from_its_table_as_a_grey_one() -> None:
    grey = SimulatedLine(size_px=SIDE_PX, defect_rate=0.0).unit(0).picture
    colour = Preparation.build(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8), "rgb", AlignSettings())
    found, known = (part_pixels(each, "part", None, (SIDE_PX, SIDE_PX)) for each in (colour, plate()))
    assert found is not None and known is not None and np.array_equal(found, known)
