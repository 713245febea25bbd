"""What OANet learns from: every part's picture in nine versions, and the maps of a backbone that is kept as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backbone_torch import forward
from engines.mask_learning import mask_pictures
from engines.oanet_branches import Branch
from engines.training_device import TrainingDevice
from schemas.errors import MissingExtra

if TYPE_CHECKING:
    import torch

N_TURNS = 4
"""As it is, mirrored left to right, upside down, both; then the same four, each under a grid mask of its own."""
N_LEARNT = 2 * N_TURNS
CLEAN, MASKED, RAW = 0, N_TURNS, N_LEARNT
"""RAW: MASKED as it is; in the others what is lost stands for what is usual. No network of ours learns from it."""
N_VERSIONS = N_LEARNT + 1
_BATCH = 32
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """The parts of a product, every picture in N_VERSIONS versions.

    `usual` (3, side, side) float32: what good parts look like. `pictures` (N * N_VERSIONS, 3, side, side) uint8. `maps`
    of each stage (N * N_VERSIONS, C, h, w) float16, empty when the backbone learns. `fields` (K, N, F) float64, NaN
    where missing: first as they are, then with more of them missing. `defective` (N,) bool.
    """

    branch: Branch
    usual: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    maps: tuple[torch.Tensor, ...]
    fields: NDArray[np.float64]
    defective: NDArray[np.bool_]

    @property
    def side_px(self) -> int:
        """Side of a picture."""
        return int(self.pictures.shape[2])

    def images_uint8(self, parts: NDArray[np.int64], version: NDArray[np.int64] | int) -> NDArray[np.uint8]:
        """(n, 3, side, side) uint8."""
        return np.asarray(self.pictures[parts * N_VERSIONS + version], np.uint8)


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
) -> Lessons:
    """Every version of every picture, and its maps.

    Args: crops: (N, h, w, 3) uint8 RGB of the part. fields: (K, N, F), see Lessons. usual_crops: other good parts, for
        what is usual; else those of `crops` that are not defective. device: where the maps are made.
    Raises: MissingExtra without torch.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train", "training OANet") from exc
    small = np.stack([resize_crop(crop, side_px) for crop in crops])
    turned = np.stack([small, small[:, :, ::-1], small[:, ::-1], small[:, ::-1, ::-1]], 1)
    masked = mask_pictures(turned.reshape(-1, side_px, side_px, 3), np.random.default_rng(seed)).reshape(turned.shape)
    usual = usual_picture(small[~defective] if usual_crops is None else usual_crops, side_px)
    filled = np.where((masked.max(-1) == 0)[..., None], usual, masked)
    every = np.concatenate((turned, filled, masked[:, :1]), 1).reshape(-1, side_px, side_px, 3)
    pictures = np.ascontiguousarray(every.transpose(0, 3, 1, 2))
    planes = np.ascontiguousarray(usual.transpose(2, 0, 1), np.float32)
    if branch.weights is None:
        return Lessons(branch, planes, pictures, (), fields, defective)
    weights = {name: torch.from_numpy(np.array(value)).to(device) for name, value in branch.weights.items()}
    parts: list[list[torch.Tensor]] = [[] for _ in branch.spec.levels]
    with torch.no_grad():
        for begin in range(0, len(pictures), _BATCH):
            batch = torch.from_numpy(pictures[begin : begin + _BATCH]).to(device).float()
            levels = forward(branch.spec, weights, batch.contiguous(memory_format=torch.channels_last))
            for held, level in zip(parts, branch.spec.levels, strict=True):
                held.append(levels[level.name].half().cpu())
            if progress is not None:
                progress("features", min(begin + _BATCH, len(pictures)), len(pictures))
    return Lessons(branch, planes, pictures, tuple(torch.cat(held) for held in parts), fields, defective)


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
