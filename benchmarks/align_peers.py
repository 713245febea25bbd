"""The alignment one can install: findTransformECC, ORB with RANSAC, phase correlation (OpenCV, scikit-image)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Size, Transform, compose, middle, resize_transform, rotation
from schemas.errors import MissingExtra

Grey = NDArray[np.uint8]

_STEPS, _EPSILON, _GAUSS_PX = 100, 1e-6, 5


def ecc(template: Grey, frame: Grey, start: Transform, part: Grey) -> Transform | None:
    """cv2.findTransformECC (Euclidean) from `start`, over `part` (H, W) uint8 moved to where `start` puts it.

    It takes the angle's arc sine, so it cannot hold a turn beyond 90 degrees: those frames are turned by
    180 degrees first, which loses nothing.
    """
    size = (frame.shape[1], frame.shape[0])
    if start[0, 0] < 0:
        half_turn = rotation(180.0, middle(size))
        found = ecc(template, np.ascontiguousarray(frame[::-1, ::-1]), compose(half_turn, start), part)
        return None if found is None else compose(half_turn, found)
    mask = cv2.warpAffine(part, start, size, flags=cv2.INTER_NEAREST)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _EPSILON)
    warp = np.asarray(start, np.float32).copy()
    try:
        _, fitted = cv2.findTransformECC(template, frame, warp, cv2.MOTION_EUCLIDEAN, criteria, mask, _GAUSS_PX)
    except cv2.error:  # "the algorithm stopped before its convergence"
        return None
    return np.asarray(fitted, np.float64)


def ecc_pyramid(template: Grey, frame: Grey, start: Transform, part: Grey) -> Transform:
    """`ecc` at a quarter, half and full size: what a careful user of it writes."""
    full = (frame.shape[1], frame.shape[0])
    found = start
    for shrink in (4, 2, 1):
        size: Size = (full[0] // shrink, full[1] // shrink)
        small = [_shrink(picture, size) for picture in (template, frame, part)]
        down, up = resize_transform(full, size), resize_transform(size, full)
        after = ecc(small[0], small[1], compose(down, compose(found, up)), small[2])
        if after is not None:
            found = compose(up, compose(after, down))
    return found


def _shrink(picture: Grey, size: Size) -> Grey:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def orb_ransac(template: Grey, frame: Grey) -> Transform | None:
    """ORB features, cross-checked matches, RANSAC over similarities."""
    detector = cv2.ORB.create(nfeatures=1000, fastThreshold=10)
    known, known_words = detector.detectAndCompute(template, np.empty(0))
    seen, seen_words = detector.detectAndCompute(frame, np.empty(0))
    if known_words is None or seen_words is None or len(known) < 4 or len(seen) < 4:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(known_words, seen_words)
    if len(matches) < 4:
        return None
    source = np.array([known[m.queryIdx].pt for m in matches])
    target = np.array([seen[m.trainIdx].pt for m in matches])
    found, _ = cv2.estimateAffinePartial2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=1.5)
    return None if found is None else np.asarray(found, np.float64)


def log_polar(template: Grey, frame: Grey) -> Transform:
    """Turn from phase correlation of the log-polar magnitude spectra, shift from phase correlation of pictures."""
    size = (template.shape[1], template.shape[0])
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    known, seen = (picture.astype(np.float32) for picture in (template, frame))
    polar = [_polar_spectrum((picture - picture.mean()) * window) for picture in (known, seen)]
    (_, rows), _ = cv2.phaseCorrelate(polar[0], polar[1])
    turn_deg = -rows * 360.0 / polar[0].shape[0]
    best: tuple[float, Transform] | None = None
    for angle_deg in (turn_deg, turn_deg + 180.0):
        turned = rotation(angle_deg, middle(size))
        moved = cv2.warpAffine(known, turned, size, borderMode=cv2.BORDER_REPLICATE)
        (dx, dy), response = cv2.phaseCorrelate(moved, seen, window)
        if math.isfinite(response) and (best is None or response > best[0]):
            turned[:, 2] += (dx, dy)
            best = (response, turned)
    return rotation(0.0, middle(size)) if best is None else best[1]


def _polar_spectrum(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(360, n) log magnitude of the high-passed spectrum, rows are angles, columns log radii."""
    side = max(picture.shape)
    square = np.zeros((side, side), np.float32)
    square[: picture.shape[0], : picture.shape[1]] = picture
    spectrum = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(square)))).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_POLAR_LOG
    return np.asarray(cv2.warpPolar(spectrum, (side // 2, 360), (side / 2, side / 2), side / 2, flags), np.float32)


def load_scikit_image() -> Callable[[Grey, Grey], Transform]:
    """A function of template and frame (H, W): scikit-image's recipe for turn and shift by FFT, to 1/20 px.

    Band-passed, windowed pictures; polar spectra (`warp_polar`, without its logarithm of the radius, since nothing
    changes size); `phase_cross_correlation` of these, then of the pictures, for both of the turns that a spectrum
    cannot tell apart. Of eight ways to set it up the one that measured best. Raises: MissingExtra without scikit-image.
    """
    try:
        registration = importlib.import_module("skimage.registration")
        filters, transform = importlib.import_module("skimage.filters"), importlib.import_module("skimage.transform")
    except ImportError as exc:
        raise MissingExtra("scikit-image", "bench", "the benchmark's peer") from exc

    def polar(picture: NDArray[np.float32]) -> NDArray[np.float64]:
        band = filters.difference_of_gaussians(picture, 1, 10) * filters.window("hann", picture.shape)
        square = np.zeros((max(picture.shape),) * 2)
        square[: picture.shape[0], : picture.shape[1]] = band
        spectrum = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(square))))
        found = transform.warp_polar(spectrum, radius=square.shape[0] // 2, output_shape=(720, 128), order=1)
        return np.asarray(found[:360], np.float64)  # a spectrum's other half is the same

    def register(template: Grey, frame: Grey) -> Transform:
        size = (template.shape[1], template.shape[0])
        known, seen = (picture.astype(np.float32) for picture in (template, frame))
        shift, _, _ = registration.phase_cross_correlation(
            polar(known), polar(seen), upsample_factor=20, normalization=None
        )
        best: tuple[float, Transform] | None = None
        for angle_deg in (0.5 * shift[0], 0.5 * shift[0] + 180.0):
            turned = rotation(angle_deg, middle(size))
            moved = cv2.warpAffine(known, turned, size, borderMode=cv2.BORDER_REPLICATE)
            (dy, dx), error, _ = registration.phase_cross_correlation(
                seen, moved, upsample_factor=20, normalization=None
            )
            turned[:, 2] += (dx, dy)
            if best is None or error < best[0]:
                best = (float(error), turned)
        return rotation(0.0, middle(size)) if best is None else best[1]

    return register
