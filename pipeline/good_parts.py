"""The good parts a product is learnt from: found, decoded and checked before minutes are spent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.manifest import Reduction
from pipeline.decode import DecodeRules, Picture, decode
from pipeline.picture_header import MalformedPictureError, content_type_of, read_header
from schemas.errors import InputError, PoisonFrame

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
LEAST_GOOD = 10
GOOD = "good"
_LABELLED = ("train", "test", "ground_truth")
_CHROMA_LEVELS = 3.0
ColourChoice = Literal["auto", "grey", "rgb"]


@dataclass(frozen=True, slots=True, eq=False)
class PictureSet:
    """Pictures of one size, `size_px` as sent, with their names; `sha256` over the sorted digests of the files."""

    names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    colour: Literal["grey", "rgb"]
    size_px: tuple[int, int]
    sha256: str

    @property
    def reduction(self) -> Reduction:
        """At which fraction of their size the pictures were decoded."""
        return self.pictures[0].reduction


def picture_paths(folder: Path) -> list[Path]:
    """Pictures directly in `folder`, by name. Raises: InputError when there is no such folder or no picture in it."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that holds the pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return paths


def good_paths(folder: Path) -> list[Path]:
    """`picture_paths` of a folder that is to hold good parts.

    Raises: InputError also when its place says that it holds something else: defective parts, or a whole data set.
    """
    if folder.is_dir():
        for inside in (folder / "train" / GOOD, folder / GOOD):
            if inside.is_dir() and not any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir()):
                raise InputError(f"{folder} holds a data set, not pictures of good parts; give {inside}")
        beside = folder.resolve().parent / GOOD
        if folder.resolve().name != GOOD and beside.is_dir() and folder.resolve().parent.name in _LABELLED:
            raise InputError(
                f"{folder} lies beside {beside}, where data sets keep defective parts or their masks: a product is "
                "learnt from good parts; give that folder, or move the pictures if they are good"
            )
    return picture_paths(folder)


def check_apart(good: Sequence[Path], bad: Sequence[Path]) -> None:
    """Raises: InputError naming pictures that are given as good and as defective parts at once."""
    digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in good}
    found = [(digests.get(hashlib.sha256(path.read_bytes()).hexdigest()), path) for path in bad]
    both = [(as_good, as_bad) for as_good, as_bad in found if as_good is not None]
    if both:
        raise InputError(
            f"{len(both)} pictures are given both as good and as defective, e.g. {both[0][0]} and {both[0][1]}; "
            "take them out of one folder"
        )


def read_picture(path: Path, rules: DecodeRules) -> tuple[Picture, str]:
    """The decoded picture at `path` and the sha256 of its file. Raises: InputError naming file and fault."""
    try:
        content = path.read_bytes()
        return decode(content, content_type_of(content), rules), hashlib.sha256(content).hexdigest()
    except (PoisonFrame, MalformedPictureError, OSError) as exc:
        raise InputError(f"{path} is not a picture that can be used: {exc}; repair or remove it") from exc


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) that the picture at `path` claims. Raises: InputError naming file and fault."""
    try:
        header = read_header(path.read_bytes())
    except (MalformedPictureError, OSError) as exc:
        raise InputError(f"{path} is not a picture that can be used: {exc}; repair or remove it") from exc
    return header.width_px, header.height_px


def pictures_sha256(paths: Sequence[Path]) -> str:
    """sha256 over the sorted digests of the files: the same for the same pictures, whatever their names."""
    return _joint_digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])


def load_good_parts(
    paths: Sequence[Path],
    colour: ColourChoice = "auto",
    significant_bits: int = 16,
    least: int = LEAST_GOOD,
    reduction: Reduction = 1,
) -> PictureSet:
    """Every picture, decoded and checked.

    Args: colour: `auto` keeps colour when any picture has some. least: the fewest different pictures that will do.
        reduction: decoded at this fraction of their size.
    Raises: InputError for an unreadable picture, unequal sizes, too few pictures or too few different ones.
    """
    if len(paths) < least:
        raise InputError(
            f"{len(paths)} good pictures are too few to learn from; give at least {least}, better 50 or more"
        )
    rules = DecodeRules(colour != "grey", significant_bits, reduction=reduction)
    loaded = [read_picture(path, rules) for path in paths]
    pictures, digests = [picture for picture, _ in loaded], [digest for _, digest in loaded]
    _check_sizes(paths, pictures)
    if all(_is_mask(picture.grey) for picture in pictures):
        raise InputError(
            f"{paths[0]} and the others show black and white alone: they look like masks of defects, not like parts"
        )
    n_different = len(set(digests))
    if n_different < least:
        raise InputError(
            f"only {n_different} of {len(paths)} good pictures differ from each other; "
            f"give pictures of at least {least} different parts"
        )
    in_colour = colour == "rgb" or (colour == "auto" and any(_has_colour(picture.colour) for picture in pictures))
    if not in_colour:
        pictures = [replace(picture, colour=None) for picture in pictures]
    return PictureSet(
        tuple(path.name for path in paths),
        tuple(pictures),
        "rgb" if in_colour else "grey",
        pictures[0].size_px,
        _joint_digest(digests),
    )


def _joint_digest(digests: Sequence[str]) -> str:
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _check_sizes(paths: Sequence[Path], pictures: Sequence[Picture]) -> None:
    by_size: dict[tuple[int, int], list[str]] = {}
    for path, picture in zip(paths, pictures, strict=True):
        by_size.setdefault(picture.size_px, []).append(path.name)
    if len(by_size) == 1:
        return
    ranked = sorted(by_size.items(), key=lambda item: -len(item[1]))
    (width, height), names = ranked[0]
    odd = ", ".join(f"{name} ({w}x{h})" for (w, h), group in ranked[1:] for name in group[:3])
    raise InputError(
        f"good pictures differ in size: {len(names)} are {width}x{height}, but {odd}; "
        "a recipe is for one frame size: remove or crop the others"
    )


def _is_mask(grey: NDArray[np.uint8]) -> bool:
    """Whether every pixel is 0 or one other value."""
    return bool(np.isin(grey, (0, grey.max())).all())


def _has_colour(colour: NDArray[np.uint8] | None) -> bool:
    """Whether an RGB picture shows more colour than compression leaves behind."""
    if colour is None:
        return False
    thin = colour[::4, ::4].astype(np.int16)
    return float((thin.max(2) - thin.min(2)).mean()) > _CHROMA_LEVELS
