"""A printed line as the reader wants it: one height, digits of one size at one place, light text on dark ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_HEIGHT_PX = 20
DIGIT_TOP_PX, DIGIT_BOTTOM_PX = 4.0, 16.0
"""Upper and lower edge of a digit in a crop."""
_SHRINK = 0.6
"""Below this scale pixels are averaged, not interpolated."""


@dataclass(frozen=True, slots=True)
class LineBox:
    """Where a line is printed in a picture: edges in px, pixel i covers i to i + 1.

    `top_px` and `bottom_px` are the upper and lower edge of a digit; `dark_ink`: dark text on a light ground.
    """

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    dark_ink: bool = False

    @property
    def scale(self) -> float:
        """Crop pixels per picture pixel."""
        return (DIGIT_BOTTOM_PX - DIGIT_TOP_PX) / (self.bottom_px - self.top_px)

    @property
    def crop_width_px(self) -> int:
        """Width of the line in a crop."""
        return max(int(np.ceil((self.right_px - self.left_px) * self.scale)), 1)


def crop_line(grey: NDArray[np.uint8], box: LineBox, out: NDArray[np.uint8], dx_px: int = 0, dy_px: int = 0) -> None:
    """Resample `box` of `grey` (H, W) uint8, moved by (dx_px, dy_px), into `out` (CROP_HEIGHT_PX, W') uint8.

    Right of the box its last column is repeated. A box that reaches over the picture's edge sees the edge repeated.
    """
    scale = box.scale
    above, below = DIGIT_TOP_PX / scale, (CROP_HEIGHT_PX - DIGIT_BOTTOM_PX) / scale
    rows, columns = grey.shape
    y0, y1 = int(np.floor(box.top_px - above)) + dy_px - 1, int(np.ceil(box.bottom_px + below)) + dy_px + 1
    x0, x1 = int(np.floor(box.left_px)) + dx_px, int(np.ceil(box.right_px)) + dx_px
    y0, x0 = min(max(y0, 0), rows - 1), min(max(x0, 0), columns - 1)
    window = grey[y0 : max(min(y1, rows), y0 + 1), x0 : max(min(x1, columns), x0 + 1)]
    inverse = 1 / scale
    if scale < _SHRINK:
        shrunk = (max(round(window.shape[1] * scale * 1.25), 1), max(round(window.shape[0] * scale * 1.25), 1))
        fx, fy = shrunk[0] / window.shape[1], shrunk[1] / window.shape[0]
        window = np.asarray(cv2.resize(window, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        fx = fy = 1.0
    # crop pixel centre i + 0.5 lies at picture coordinate origin + (i + 0.5) / scale
    x_origin = (box.left_px + dx_px - x0 + 0.5 * inverse) * fx - 0.5
    y_origin = (box.top_px + dy_px - above - y0 + 0.5 * inverse) * fy - 0.5
    matrix = np.array([[inverse * fx, 0.0, x_origin], [0.0, inverse * fy, y_origin]])
    cv2.warpAffine(
        window,
        matrix,
        (out.shape[1], out.shape[0]),
        dst=out,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if box.dark_ink:
        np.subtract(255, out, out=out)
