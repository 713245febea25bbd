"""What OANet learns from: every part's picture in nine versions, and the maps of a backbone that is kept as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backbone_torch import forward
from engines.mask_learning import mask_pictures
from engines.oanet_branches import Branch
from engines.training_device import TrainingDevice
from schemas.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import torch

N_TURNS = 4
"""As it is, mirrored left to right, upside down, both; then the same four, each under a grid mask of its own."""
N_LEARNT = 2 * N_TURNS
CLEAN, MASKED, RAW = 0, N_TURNS, N_LEARNT
"""RAW: MASKED as it is. In the others what is lost, or black on the part, stands for what is usual, as in the graph.
No network of ours learns from RAW."""
_BATCH = 32
_PARTS = 64
"""Parts whose versions are made at a time."""
Progress = Callable[[str, int, int], None]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """The parts of a product, every picture in as many versions (V) as `n_turns` gives.

    `usual` (3, side, side) float32: what good parts look like. `pictures` (N * V, 3, side, side) uint8. `maps` of each
    stage (N * V, C, h, w) float16, empty when the backbone learns. `fields` (K, N, F) float64, NaN where missing: first
    as they are, then with more of them missing. `defective` (N,) bool. `n_turns`: how many of the N_TURNS ways round
    a picture is there, masked and not. `seen` of each stage (N * V, 1, h, w) float16, the share of each place's pixels
    that is not lost, empty when the backbone learns.
    """

    branch: Branch
    usual: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    maps: tuple[torch.Tensor, ...]
    fields: NDArray[np.float64]
    defective: NDArray[np.bool_]
    n_turns: int = N_TURNS
    seen: tuple[torch.Tensor, ...] = ()

    def learnt(self, masks: bool) -> NDArray[np.int64]:
        """Versions to learn from, with masked ones or without."""
        turns = np.arange(self.n_turns)
        return np.concatenate((CLEAN + turns, MASKED + turns)) if masks else turns

    def rows(self, parts: NDArray[np.int64], version: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """(n,) where the `version` of each of `parts` lies in pictures and maps."""
        kind, turn = np.divmod(version, N_TURNS)
        return np.asarray(parts * (2 * self.n_turns + 1) + kind * self.n_turns + turn, np.int64)

    @property
    def side_px(self) -> int:
        """Side of a picture."""
        return int(self.pictures.shape[2])

    def images_uint8(self, parts: NDArray[np.int64], version: NDArray[np.int64] | int) -> NDArray[np.uint8]:
        """(n, 3, side, side) uint8."""
        return np.asarray(self.pictures[self.rows(parts, version)], np.uint8)


def prepare_lessons(
    branch: Branch,
    crops: NDArray[np.uint8],
    fields: NDArray[np.float64],
    defective: NDArray[np.bool_],
    side_px: int,
    seed: int,
    progress: Progress | None = None,
    usual_crops: NDArray[np.uint8] | None = None,
    device: TrainingDevice = "cpu",
    n_turns: int = N_TURNS,
    folder: Path | None = None,
) -> Lessons:
    """Every version of every picture, and its maps.

    Args: crops: (N, h, w, 3) uint8 RGB of the part. fields: (K, N, F), see Lessons. usual_crops: other good parts, for
        what is usual; else those of `crops` that are not defective. device: where the maps are made. n_turns: see
        Lessons. folder: for pictures and maps that would fill the memory; it must last as long as the lessons.
    Raises: MissingExtra without torch; InputError when `side_px` is no multiple of the strides of a kept backbone.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train", "training OANet") from exc
    usual = usual_picture(crops[~defective] if usual_crops is None else usual_crops, side_px)
    n_rows = len(crops) * (2 * n_turns + 1)
    pictures: NDArray[np.uint8] = _room(folder, "pictures", (n_rows, 3, side_px, side_px), np.uint8)
    strides = [] if branch.weights is None else [level.stride_px for level in branch.spec.levels]
    if any(side_px % stride for stride in strides):
        raise InputError(f"a picture of {side_px} px has no whole places of {strides} px; choose a multiple of these")
    seen = [np.empty((n_rows, 1, side_px // stride, side_px // stride), np.float16) for stride in strides]
    rng, row = np.random.default_rng(seed), 0
    for begin in range(0, len(crops), _PARTS):
        every, lost = _versions(crops[begin : begin + _PARTS], usual, side_px, n_turns, rng)
        pictures[row : row + len(every)] = every
        for share, stride in zip(seen, strides, strict=True):
            places = lost.reshape(len(lost), 1, side_px // stride, stride, side_px // stride, stride)
            share[row : row + len(every)] = 1 - places.mean((3, 5))
        row += len(every)
    planes = np.ascontiguousarray(usual.transpose(2, 0, 1), np.float32)
    lessons = Lessons(branch, planes, pictures, (), fields, defective, n_turns)
    if branch.weights is None:
        return lessons
    weights = {name: torch.from_numpy(np.array(value)).to(device) for name, value in branch.weights.items()}
    maps: list[NDArray[np.float16]] = []
    with torch.no_grad():
        for begin in range(0, n_rows, _BATCH):
            batch = torch.from_numpy(pictures[begin : begin + _BATCH]).to(device).float()
            levels = forward(branch.spec, weights, batch.contiguous(memory_format=torch.channels_last))
            found = [levels[level.name].half().cpu().numpy() for level in branch.spec.levels]
            maps = maps or [
                _room(folder, f"maps{k}", (n_rows, *each.shape[1:]), np.float16) for k, each in enumerate(found)
            ]
            for held, each in zip(maps, found, strict=True):
                held[begin : begin + len(each)] = each
            if progress is not None:
                progress("features", min(begin + _BATCH, n_rows), n_rows)
    maps_held, seen_held = (tuple(torch.from_numpy(each) for each in arrays) for arrays in (maps, seen))
    return replace(lessons, maps=maps_held, seen=seen_held)


def _versions(
    crops: NDArray[np.uint8], usual: NDArray[np.uint8], side_px: int, n_turns: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures (n * V, 3, side_px, side_px) of `crops`, a part's behind one another, and (n * V, ...) what they lost.

    Of RAW none is said to be lost.
    """
    small = np.stack([resize_crop(crop, side_px) for crop in crops])
    turned = np.stack([small, small[:, :, ::-1], small[:, ::-1], small[:, ::-1, ::-1]][:n_turns], 1)
    masked = mask_pictures(turned.reshape(-1, side_px, side_px, 3), rng).reshape(turned.shape)
    clean_lost, lost = turned.max(-1) == 0, masked.max(-1) == 0
    clean, filled = (np.where(gone[..., None], usual, each) for gone, each in ((clean_lost, turned), (lost, masked)))
    every = np.concatenate((clean, filled, masked[:, :1]), 1).reshape(-1, side_px, side_px, 3)
    every_lost = np.concatenate((clean_lost, lost, np.zeros_like(lost[:, :1])), 1)
    return np.ascontiguousarray(every.transpose(0, 3, 1, 2)), every_lost.reshape(-1, side_px, side_px)


def _room(folder: Path | None, name: str, shape: tuple[int, ...], kind: type[Kind]) -> NDArray[Kind]:
    """An array in memory, or in a file of `folder`."""
    if folder is None:
        return np.empty(shape, kind)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)


def usual_picture(crops: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """(side_px, side_px, 3) uint8, the mean of `crops` (N, h, w, 3) of good parts and their mirror images."""
    mean = np.mean([resize_crop(crop, side_px) for crop in crops], 0)
    mean = (mean + mean[::-1]) / 2
    return np.asarray(np.rint((mean + mean[:, ::-1]) / 2), np.uint8)


def resize_crop(crop: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """`crop` (h, w, 3) as the network sees it, (side_px, side_px, 3)."""
    if crop.shape[:2] == (side_px, side_px):
        return crop
    return np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
