"""Placing good parts: the template they are brought onto, how they are aligned to it, and which cannot be."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_calibration import calibrate_alignment
from engines.align_foreground import find_part
from engines.align_settings import AlignSettings
from engines.align_template import choose_template
from engines.geometry import resize_transform, warp_to_template, working_size
from engines.training_device import cpu_threads
from pipeline.good_parts import PictureSet
from pipeline.matcher import Matcher, learn_matcher
from pipeline.preparation import Preparation, Prepared
from pipeline.train_settings import Scored, TrainSettings
from schemas.errors import InputError, SetupError
from schemas.verdict import Box

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""
_MOST_REFUSED = 0.2


def learn_alignment(
    good: PictureSet, settings: TrainSettings, progress: Progress
) -> tuple[NDArray[np.uint8], AlignSettings | None, Matcher | None]:
    """The template at the model's input size, (H, W) or (H, W, 3), how frames are aligned to it, and its network."""
    size = working_size(good.size_px, settings.input_px)
    greys = [picture.grey for picture in good.pictures]
    asked = AlignSettings(motion=settings.motion, image=settings.align_image, working_size_px=max(64, *size))
    try:
        chosen = choose_template(
            greys, size, asked, seed=settings.seed, report=lambda done, total: progress("template", done, total)
        )
        align = None
        if settings.motion != "none":
            align = calibrate_alignment(
                chosen.grey, greys, asked, report=lambda done, total: progress("alignment", done, total)
            )
    except SetupError as exc:
        raise InputError(
            f"the good parts cannot be aligned: {exc}; if they lie still, train with --motion none"
        ) from exc
    matcher = None
    if settings.align_start == "network":
        if align is None:
            raise InputError("--align-start network is for parts that move; leave it out with --motion none")
        with cpu_threads(settings.n_threads):
            matcher = learn_matcher(
                chosen.grey, greys, align, n_steps=settings.network_steps, seed=settings.seed,
                checkpoint=settings.network_checkpoint, progress=progress, device=settings.device,
            )  # fmt: skip
        align = align.model_copy(update={"start": "network"})
    picture = good.pictures[chosen.index]
    if picture.colour is None:
        return chosen.grey, align, matcher
    whole = resize_transform(size, picture.decoded_px)
    return np.asarray(warp_to_template(picture.colour, whole, size), np.uint8), align, matcher


def align_all(
    good: PictureSet, preparation: Preparation, progress: Progress
) -> tuple[list[str], list[Prepared], list[tuple[str, str]]]:
    """The parts that align, prepared, with their names; and those refused, with the reason.

    Raises: InputError when more than a fifth of them are.
    """
    names, aligned, refused = [], [], []
    for done, (name, picture) in enumerate(zip(good.names, good.pictures, strict=True)):
        progress("aligning", done, len(good.names))
        placed, prepared = preparation.prepare(picture)
        if prepared is None:
            refused.append((name, placed.detail))
        else:
            names.append(name)
            aligned.append(prepared)
    progress("aligning", len(good.names), len(good.names))
    if len(refused) > _MOST_REFUSED * len(good.names):
        raise InputError(
            f"{len(refused)} of {len(good.names)} good parts cannot be aligned, e.g. {refused[0][0]}: {refused[0][1]}; "
            "take out what is not this product, or train with --motion none if parts lie still"
        )
    return names, aligned, refused


def part_pixels(
    preparation: Preparation, scored: Scored, part_px: Box | None, frame_size_px: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """(H, W) bool, where the template is scored; None: everywhere.

    Args: scored: see `TrainSettings`. part_px: where frames of `frame_size_px` show the part; nothing else is scored.
    """
    mask = _part(preparation) if scored == "part" else None
    if part_px is None:
        return mask
    (width, height), (frame_width, frame_height) = preparation.input_size_px, frame_size_px
    x, y, w, h = part_px
    rows = slice(round(y * height / frame_height), round((y + h) * height / frame_height))
    columns = slice(round(x * width / frame_width), round((x + w) * width / frame_width))
    part = np.zeros((height, width), np.bool_)
    part[rows, columns] = True if mask is None else mask[rows, columns]
    return part


def _part(preparation: Preparation) -> NDArray[np.bool_] | None:
    """(H, W) bool, the template's pixels that show the part; None where it fills the picture or is not told apart."""
    if preparation.aligner is None or preparation.aligner.mask.all():
        return None
    template = preparation.template
    grey = template if template.ndim == 2 else np.asarray(cv2.cvtColor(template, cv2.COLOR_RGB2GRAY), np.uint8)
    return find_part(grey.astype(np.float32), preparation.aligner.mask)
