"""At which fraction of their size a product's frames are decoded: what a person asked for, or what costs no accuracy.

A frame of 1024x1024 that is inspected at 256x256 is shrunk fourfold anyway. Decoded at half its size, it still gives
two pixels to each of the model's, which is what the warp samples; alignment and warp then have a quarter of the pixels
to read. Measured in docs/speed.md and docs/accuracy.md.
"""

from __future__ import annotations

from pathlib import Path

from engines.geometry import Size, working_size
from engines.manifest import Reduction
from pipeline.good_parts import read_size
from pipeline.train_settings import DecodeReduction
from schemas.errors import InputError

LEAST_DECODED_PX = 2.0
"""Decoded pixels to a pixel of the model, a side, that `auto` leaves at least."""
_FACTORS: tuple[Reduction, ...] = (4, 2)


def choose_reduction(asked: DecodeReduction, picture: Path, input_px: int, reads_fields: bool) -> Reduction:
    """The reduction for frames like the one at `picture`, inspected at a longest side of `input_px`.

    Args: reads_fields: printed machine parameters are read too, which wants the picture at full size.
    Raises: InputError when what was asked for does not fit the frames or the fields, or the picture is unreadable.
    """
    if asked == 1 or (asked == "auto" and reads_fields):
        return 1
    if reads_fields:
        raise InputError(
            f"--decode-reduction {asked} with --fields: printed machine parameters are read at full size; "
            "leave one of them out"
        )
    size = read_size(picture)
    if asked == "auto":
        fits = (each for each in _FACTORS if _divides(each, size) and _left(size, input_px, each) >= LEAST_DECODED_PX)
        return next(fits, 1)
    if not _divides(asked, size):
        raise InputError(
            "--decode-reduction {}: frames of {}x{} px cannot be divided by it; give 1 or auto, or have the camera "
            "crop its frames".format(asked, *size)
        )
    if _left(size, input_px, asked) < 1:
        raise InputError(
            "--decode-reduction {}: frames of {}x{} px would be decoded smaller than the {} px they are inspected at; "
            "give less, or auto".format(asked, *size, max(working_size(size, input_px)))
        )
    return asked


def _divides(factor: int, size: Size) -> bool:
    return size[0] % factor == 0 and size[1] % factor == 0


def _left(size: Size, input_px: int, factor: int) -> float:
    """Decoded pixels to a pixel of the model, a side, the fewest of both sides."""
    model = working_size(size, input_px)
    return min(size[0] / model[0], size[1] / model[1]) / factor
