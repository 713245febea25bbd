"""A folder of pictures followed as the line would follow it: the same frames, states and alerts, without Kafka."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.bundle import Bundle
from pipeline.baseline import Baseline, learn_baseline
from pipeline.decode import DecodeRules
from pipeline.good_parts import read_picture
from pipeline.inspection import InspectionRequest, Inspector, RecipeRules, Refusal
from pipeline.picture_header import MalformedPictureError, content_type_of
from pipeline.process_signals import Usual, signals_of
from pipeline.rolling_median import Picture
from pipeline.root_cause import RootCause
from pipeline.sensor_view import valid_pixels
from schemas.alert import Alert
from schemas.aligned import AlignedFrame, AlignedHeader
from schemas.errors import InputError
from schemas.recipe import WindowSettings

STATION = "local/systematic/files"
PRODUCT = "pictures"
_GRID = (64, 64)
_STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_BLANK_FRAMES = 200
_MANY = 1_000_000


class Progress(Protocol):
    """Called with (what, done, total)."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@dataclass(slots=True)
class Watched:
    """What came of a folder. `pictures`: PNG of each mark by its reference in the alerts (`gradient_map`)."""

    state: RootCause
    n_frames: int = 0
    n_skipped: int = 0
    alerts: list[Alert] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


def plain_frames(paths: list[Path], window: WindowSettings, progress: Progress) -> Iterator[AlignedFrame | None]:
    """Pictures that are in register already, all of one size, as frames without scores.

    Raises: InputError for an unreadable picture, or one of another size than the first.
    """
    rules, size = DecodeRules(False, 16), None
    for done, path in enumerate(paths):
        progress("following", done, len(paths))
        grey = read_picture(path, rules)[0].grey
        size = size or grey.shape
        if grey.shape != size:
            raise InputError(
                f"{path} has {grey.shape[1]}x{grey.shape[0]} px, {paths[0]} has {size[1]}x{size[0]}: pictures that lie"
                " in register have one size; give --bundle to have others aligned"
            )
        header = _header(
            path, done, PRODUCT, "-", "-", _STILL, (grey.shape[1], grey.shape[0]), 1.0, 0.0, 0.0, window, {}
        )
        yield AlignedFrame(header, grey, np.zeros(_GRID, np.float32))
    progress("following", len(paths), len(paths))


def bundle_frames(
    paths: list[Path], inspector: Inspector, window: WindowSettings, progress: Progress
) -> Iterator[AlignedFrame | None]:
    """Pictures as the line sends them, aligned and scored by the bundle; None for one that cannot be."""
    bundle = inspector.bundle
    rules = RecipeRules.of_manifest(bundle.manifest)
    for done, path in enumerate(paths):
        progress("following", done, len(paths))
        content = path.read_bytes()
        try:
            request = InspectionRequest(content, content_type_of(content))
        except MalformedPictureError:
            yield None
            continue
        found = inspector.inspect([request], rules, heat_maps="none")[0]
        if isinstance(found, Refusal) or found.aligned_picture is None or found.score_grid is None:
            yield None
            continue
        assert found.transform is not None
        a, b, c, d, e, f = found.transform.ravel().tolist()
        header = _header(
            path, done, bundle.manifest.product, bundle.sha256, bundle.template_sha256, (a, b, c, d, e, f),
            found.frame_size_px, bundle.manifest.cell_threshold, found.score or 0.0, found.alignment.residual or 0.0,
            window, signals_of(found.fields, found.fused),
        )  # fmt: skip
        yield AlignedFrame(header, found.aligned_picture, found.score_grid)
    progress("following", len(paths), len(paths))


def _header(
    path: Path, number: int, product: str, bundle_sha256: str, template_sha256: str,
    transform: tuple[float, float, float, float, float, float], frame_size_px: tuple[int, int], cell_threshold: float,
    score: float, residual: float, window: WindowSettings, signals: Mapping[str, float],
) -> AlignedHeader:  # fmt: skip
    return AlignedHeader(
        frame_id=path.name,
        station=STATION,
        product=product,
        captured_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        epoch=None,
        sequence=number + 1,
        bundle_sha256=bundle_sha256,
        template_sha256=template_sha256,
        recipe_revision=1,
        score=score,
        residual=residual,
        cell_threshold=cell_threshold,
        transform=transform,
        frame_size_px=frame_size_px,
        window=window,
        signals=signals,
    )


def watch(
    frames: Iterable[AlignedFrame | None],
    baseline: Baseline | None,
    template: Picture | None,
    usual: Usual | None = None,
) -> Watched:
    """Follow `frames` in order; None is a frame that could not be aligned.

    Raises: InputError when there is no frame at all that could be.
    """
    watched: Watched | None = None
    n_skipped = 0
    for frame in frames:
        if frame is None:
            n_skipped += 1
            continue
        if watched is None:
            watched = Watched(RootCause.start(frame, baseline, template, usual))
        kept = watched.pictures

        def keep(png: bytes, kept: dict[str, bytes] = kept) -> str:
            reference = f"sha256:{hashlib.sha256(png).hexdigest()}"
            kept[reference] = png
            return reference

        watched.alerts += watched.state.update(frame, keep)
        watched.n_frames += 1
    if watched is None:
        raise InputError(f"none of {n_skipped} pictures could be aligned: is this the product of the bundle?")
    watched.n_skipped = n_skipped
    return watched


def commission(frames: Iterable[AlignedFrame | None], foreground: NDArray[np.bool_] | None = None) -> Baseline:
    """The golden baseline of good parts, with the hits of their score grids.

    Args: foreground: (H, W), False where the template is not watched. Raises: InputError for too few frames.
    """
    kept = [frame for frame in frames if frame is not None]
    hits = [frame.score_grid > np.float32(frame.header.cell_threshold) for frame in kept]
    valid = [valid_pixels(frame.header, (frame.picture.shape[0], frame.picture.shape[1])) for frame in kept]
    try:
        return learn_baseline(
            [frame.picture for frame in kept],
            np.stack(hits) if hits else None,
            None if all(mask is None for mask in valid) else valid,
            foreground,
        )
    except ValueError as exc:
        raise InputError(f"{exc}; give more pictures of good parts") from exc


def blank_baseline(frames: Iterable[AlignedFrame | None]) -> Baseline:
    """The baseline of pictures that share nothing, such as textures: no edge at all, and the frames' own spread.

    With it every edge that the pictures have in common is a mark (the paper's reading of the median gradients).
    """
    pictures = [frame.picture for frame in islice(frames, _BLANK_FRAMES) if frame is not None]
    try:
        learnt = learn_baseline(pictures)
    except ValueError as exc:
        raise InputError(f"{exc}; give more pictures, or --baseline with good parts") from exc
    return Baseline(np.zeros_like(learnt.median), learnt.noise, _MANY)


def product_baseline(bundle: Bundle) -> Baseline | None:
    """The golden baseline a bundle carries."""
    from engines.bundle import BASELINE

    content = bundle.members.get(BASELINE)
    return None if content is None else Baseline.from_bytes(content)
