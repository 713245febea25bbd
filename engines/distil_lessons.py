"""What the student is to say of each crop: codes of the teacher's stages, made once and kept in memory.

The target at each place is a code of each of the teacher's stages: the principal components of stage 1, pooled to
stride 8, and of stage 2 for the level at stride 8, of stage 3 for the one at stride 16. The components are those of
what varies within crops, every crop counting alike, and the spectrum is flattened by a fourth root, so that fine
differences, which defects live on, weigh as much as bold ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.backbone_resnet import load_resnet18
from engines.backbone_student import COARSE_CHANNELS, FINE_CHANNELS, STAGE_CHANNELS
from engines.backbone_torch import forward
from engines.distil_pictures import CROP_PX, pairs
from engines.distil_start import say

if TYPE_CHECKING:
    import torch

    Stages = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_BATCH_PAIRS = 6
_N_CALIBRATION = 512
"""Crops that the codes are fitted on, half of them seen again."""
_POWER_FLOOR = 0.03
"""Least power that a crop is taken to have, in units of the mean crop's."""


class Teacher:
    """ResNet-18 and the linear code of its stages that the student learns to predict."""

    def __init__(self, weights: Path | None, calibration: torch.Tensor) -> None:
        """Fit the codes on `calibration` (N, 3, H, W) pictures."""
        import torch

        self.backbone = load_resnet18(weights)
        self._weights = {name: torch.from_numpy(np.array(value)) for name, value in self.backbone.weights.items()}
        self._codes = [
            _code(stage, channels)
            for stage, channels in zip(self._stages(calibration), (*STAGE_CHANNELS, COARSE_CHANNELS), strict=True)
        ]

    def targets(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, FINE, H/8, W/8) and (N, COARSE, H/16, W/16) codes of `pictures`."""
        import torch

        first, second, third = (_encode(f, code) for f, code in zip(self._stages(pictures), self._codes, strict=True))
        return torch.cat([first, second], 1), third

    def _stages(self, pictures: torch.Tensor) -> Stages:
        import torch

        with torch.no_grad():
            levels = forward(self.backbone.spec, self._weights, pictures)
            pooled = torch.nn.functional.avg_pool2d(levels["layer1"], 3, 2, 1, count_include_pad=False)
            return pooled, levels["layer2"], levels["layer3"]


def _code(features: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (C,) and matrix (channels, C) of the code described in the module's docstring."""
    import torch

    flat = features.flatten(2).double()
    centred = flat - flat.mean(2, keepdim=True)
    powers = centred.square().sum(1).mean(1)
    shares = 1 / (powers + _POWER_FLOOR * powers.mean())
    covariance = torch.einsum("n,ncp,ndp->cd", shares, centred, centred) / (shares.sum() * flat.shape[2])
    values, vectors = torch.linalg.eigh(covariance)
    order = torch.argsort(values, descending=True)[:channels]
    gain = (values[order] / values[order[0]]).clamp_min(1e-6).pow(-0.25)
    gain = gain / (values[order] * gain.square()).mean().sqrt()
    return flat.mean((0, 2)).float(), ((vectors[:, order] * gain).T).float()


def _encode(features: torch.Tensor, code: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    import torch

    mean, matrix = code
    return torch.einsum("kc,nchw->nkhw", matrix, features - mean[:, None, None])


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Crops (2 n, 3, H, W) uint8, every other one the one before it seen again, with their codes, float16.

    `powers` (2 n, 3) of each stage's code: the mean square of what it varies around its mean over the crop, and a
    floor.
    """

    pictures: torch.Tensor
    fine: torch.Tensor
    coarse: torch.Tensor
    powers: torch.Tensor

    @property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        return len(self.pictures) // 2


def prepare_lessons(weights: Path | None, folders: Sequence[Path], n_crops: int, seed: int) -> tuple[Teacher, Lessons]:
    """Make every crop and its codes. Raises: InputError for unusable folders or weights; MissingExtra."""
    import torch

    stream = pairs(np.random.default_rng(seed), folders)

    def batch(n_pairs: int) -> torch.Tensor:
        shown = np.stack([picture for _ in range(n_pairs) for picture in next(stream)])
        return torch.from_numpy(shown).permute(0, 3, 1, 2).contiguous()

    size = 2 * _BATCH_PAIRS
    teacher = Teacher(weights, batch(min(_N_CALIBRATION, n_crops) // 2).float())
    n, side = n_crops // size * size, CROP_PX // 8
    pictures = torch.empty((n, 3, CROP_PX, CROP_PX), dtype=torch.uint8)
    fine = torch.empty((n, FINE_CHANNELS, side, side), dtype=torch.float16)
    coarse = torch.empty((n, COARSE_CHANNELS, side // 2, side // 2), dtype=torch.float16)
    powers = torch.empty((n, 3))
    for start in range(0, n, size):
        chunk = slice(start, start + size)
        pictures[chunk] = batch(_BATCH_PAIRS)
        codes = teacher.targets(pictures[chunk].float().contiguous(memory_format=torch.channels_last))
        powers[chunk] = torch.stack([varied(code) for code in stages(*codes)], 1)
        fine[chunk], coarse[chunk] = codes[0].half(), codes[1].half()
        if start % (100 * size) == 0:
            say(f"crops {start} of {n}")
    return teacher, Lessons(pictures, fine, coarse, powers + _POWER_FLOOR * powers.mean(0))


def stages(fine: torch.Tensor, coarse: torch.Tensor) -> Stages:
    """The codes of stages 1, 2 and 3, of those of both levels."""
    return fine[:, : STAGE_CHANNELS[0]], fine[:, STAGE_CHANNELS[0] :], coarse


def varied(code: torch.Tensor) -> torch.Tensor:
    """(N,) mean square of `code` (N, C, h, w) around its mean over the crop."""
    return (code - code.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
