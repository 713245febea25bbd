"""Real parts on one template: do their outlines lie on its outlines? No pose is known here, so parts judge themselves.

Every good picture is aligned and warped; how far its outlines must still be shifted to agree best with the template's
is how far off it was, apart from turns. Once by grey levels, once by outlines.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.align_refusal import good_pictures
from benchmarks.result import Json
from engines.align import Aligner, AlignSettings
from engines.align_calibration import calibrate_alignment
from engines.align_levels import edges, smooth
from engines.align_settings import Image
from engines.align_template import choose_template
from engines.geometry import warp_to_template, working_size

Grey = NDArray[np.uint8]

_LONGEST_PX, _REACH_PX = 256, 14
_BLUR_PX = 1.0


def real_parts(folder: Path) -> dict[str, Json]:
    """By product: figures for grey levels and for outlines."""
    out: dict[str, Json] = {}
    for name, (known, unseen) in good_pictures(folder, 100).items():
        pictures = [*known, *unseen]
        size = working_size((pictures[0].shape[1], pictures[0].shape[0]), _LONGEST_PX)
        template = choose_template(pictures, size, AlignSettings()).grey
        found: dict[str, Json] = {"n": len(pictures)}
        for image in get_args(Image):
            settings = calibrate_alignment(template, pictures, AlignSettings(image=image))
            found[image] = _figures(template, pictures, settings)
        out[name] = found
    return out


def _figures(template: Grey, pictures: list[Grey], settings: AlignSettings) -> dict[str, Json]:
    aligner = Aligner.build(template, settings)
    off, agreement = [], []
    for picture in pictures:
        warped = warp_to_template(picture, aligner.align(picture).transform, aligner.template_size)
        shift_px, at_pose = _still_off(template, np.asarray(warped, np.uint8))
        off.append(shift_px)
        agreement.append(at_pose)
    return {
        "p50_off_px": float(np.median(off)),
        "share_off_beyond_2_px": float(np.mean(np.array(off) > 2.0)),
        "share_off_beyond_5_px": float(np.mean(np.array(off) > 5.0)),
        "outlines_agree": float(f"{np.median(agreement):.3f}"),
    }


def _still_off(template: Grey, warped: Grey) -> tuple[float, float]:
    """Length of the whole-pixel shift at which the outlines agree best, and how well they agree without it."""
    known, seen = (cv2.GaussianBlur(edges(smooth(p)), (0, 0), _BLUR_PX) for p in (template, warped))
    reach = min(_REACH_PX, min(known.shape) // 8)
    inner = known[reach:-reach, reach:-reach]
    scores = cv2.matchTemplate(np.asarray(seen, np.float32), np.asarray(inner, np.float32), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(np.hypot(row - reach, column - reach)), float(scores[reach, reach])
