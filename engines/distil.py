"""Distil the student backbone from ResNet-18's features, on pictures that may be shipped.

Run ``python -m engines.distil --teacher resnet18.npz --minutes 60 --out engines/student.npz [--pictures DIR ...]``
(needs the extra `train`). Crops come from engines/distil_pictures.py: procedural ones, and the folders given: give
only pictures whose licence lets weights made from them be shipped. All crops and their targets are made first and
kept in memory (about 100 kB each); the student starts as a narrowed ResNet-18 (engines/distil_start.py), then makes
as many rounds over the crops as the time allows.

The target at each place is a code of each of the teacher's stages: the principal components of stage 1, pooled to
stride 8, and of stage 2 for the level at stride 8, of stage 3 for the one at stride 16, the spectrum flattened by a
fourth root, so that fine differences, which defects live on, weigh as much as bold ones.

The weights that ship: ``--pictures deeppcb --pictures open --pictures open --seed 7 --crops 8736 --minutes 39``, one
thread that had to share its core (about 13000 steps; 0.19 of the codes' power was left unexplained). `deeppcb` are
DeepPCB's pictures (MIT), `open` the 28 .png and .jpg files in the wheels of scikit-image 0.26.0 (skimage/data) and
scikit-learn 1.9.1 (sklearn/datasets/images). No other pictures: accuracy on all others is on pictures it never saw.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.backbone_resnet import load_resnet18
from engines.backbone_student import COARSE_CHANNELS, FINE_CHANNELS, STAGE_CHANNELS, student_spec
from engines.backbone_torch import all_outputs, forward
from engines.distil_pictures import CROP_PX, crops
from engines.distil_start import narrowed, say, solve

if TYPE_CHECKING:
    import torch

BATCH = 16
_PEAK_RATE = 1e-3
_N_START = 1600
"""Crops that the start is solved on."""
_SAVE_EVERY_STEPS = 500


@dataclass(frozen=True, slots=True)
class DistilSettings:
    """`n_crops` are made once; training then takes `minutes` of wall clock; `start`: weights to go on from.

    `stem_steps`: of the first layers alone, before the start is solved; unused with `start`.
    """

    teacher: Path | None
    folders: tuple[Path, ...]
    n_crops: int
    minutes: float
    seed: int
    start: Path | None
    out: Path
    stem_steps: int = 2000


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

    def _stages(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        with torch.no_grad():
            levels = forward(self.backbone.spec, self._weights, pictures)
            pooled = torch.nn.functional.avg_pool2d(levels["layer1"], 3, 2, 1, count_include_pad=False)
            return pooled, levels["layer2"], levels["layer3"]


def _code(features: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (C,) and matrix (channels, C) of the code described in the module's docstring."""
    import torch

    flat = features.permute(1, 0, 2, 3).flatten(1).double()
    mean = flat.mean(1)
    centred = flat - mean[:, None]
    values, vectors = torch.linalg.eigh(centred @ centred.T / centred.shape[1])
    order = torch.argsort(values, descending=True)[:channels]
    gain = (values[order] / values[order[0]]).clamp_min(1e-6).pow(-0.25)
    gain = gain / (values[order] * gain.square()).mean().sqrt()
    return mean.float(), ((vectors[:, order] * gain).T).float()


def _encode(features: torch.Tensor, code: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    import torch

    mean, matrix = code
    return torch.einsum("kc,nchw->nkhw", matrix, features - mean[:, None, None])


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Crops (n, 3, H, W) uint8 with their codes, `fine` and `coarse`, float16; and the codes' mean squares."""

    pictures: torch.Tensor
    fine: torch.Tensor
    coarse: torch.Tensor
    fine_power: float
    coarse_power: float


def prepare_lessons(settings: DistilSettings) -> tuple[Teacher, Lessons]:
    """Make every crop and its codes. Raises: InputError for unusable folders or weights; MissingExtra."""
    import torch

    stream = crops(np.random.default_rng(settings.seed), settings.folders)

    def batch(n: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([next(stream) for _ in range(n)])).permute(0, 3, 1, 2).contiguous()

    teacher = Teacher(settings.teacher, batch(min(256, settings.n_crops)).float())
    n, side = settings.n_crops // BATCH * BATCH, CROP_PX // 8
    pictures = torch.empty((n, 3, CROP_PX, CROP_PX), dtype=torch.uint8)
    fine = torch.empty((n, FINE_CHANNELS, side, side), dtype=torch.float16)
    coarse = torch.empty((n, COARSE_CHANNELS, side // 2, side // 2), dtype=torch.float16)
    for start in range(0, n, BATCH):
        chunk = slice(start, start + BATCH)
        pictures[chunk] = batch(BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            made = teacher.targets(pictures[chunk].float().contiguous(memory_format=torch.channels_last))
        fine[chunk], coarse[chunk] = made[0].half(), made[1].half()
        if start % (100 * BATCH) == 0:
            say(f"crops {start} of {n}")
    powers = [float(codes[:1024].float().square().mean()) for codes in (fine, coarse)]
    return teacher, Lessons(pictures, fine, coarse, powers[0], powers[1])


def distil(settings: DistilSettings) -> None:
    """Train the student and write its arrays, in half precision, to `settings.out`; also as it goes on."""
    import torch

    torch.manual_seed(settings.seed)
    teacher, lessons = prepare_lessons(settings)
    weights = _initial_weights(settings, teacher, lessons)
    optimiser = torch.optim.AdamW([v.requires_grad_() for v in weights.values()], lr=_PEAK_RATE, weight_decay=1e-4)
    n, began, step, smooth = len(lessons.pictures), time.monotonic(), 0, 0.0
    order = torch.randperm(n)
    while (share := (time.monotonic() - began) / (60 * settings.minutes)) < 1:
        at = step * BATCH % n
        if at == 0:
            order = torch.randperm(n)
        rate = _PEAK_RATE * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * float(np.cos(np.pi * share))) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _loss(weights, lessons, order[at : at + BATCH])
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimiser.step()
        step += 1
        smooth = float(loss.detach()) if step == 1 else 0.99 * smooth + 0.01 * float(loss.detach())
        if step % _SAVE_EVERY_STEPS == 0:
            say(f"{100 * share:5.1f} %  step {step}  unexplained variance {smooth / 2:.3f}")
            _save(settings.out, weights)
    _save(settings.out, weights)


def _loss(weights: dict[str, torch.Tensor], lessons: Lessons, chosen: torch.Tensor) -> torch.Tensor:
    """Share of the codes' power that the student leaves unexplained, summed over both levels."""
    import torch

    pictures = lessons.pictures[chosen].float().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        levels = forward(student_spec(), weights, pictures)
    fine = (levels["fine"].float() - lessons.fine[chosen].float()).square().mean() / lessons.fine_power
    coarse = (levels["coarse"].float() - lessons.coarse[chosen].float()).square().mean() / lessons.coarse_power
    return fine + coarse


def _initial_weights(settings: DistilSettings, teacher: Teacher, lessons: Lessons) -> dict[str, torch.Tensor]:
    """Those of `start`, or the teacher's own layers narrowed, with the heads that then explain the codes best."""
    import torch

    if settings.start is not None:
        with np.load(settings.start, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    pictures = lessons.pictures[:_N_START]
    weights = narrowed(teacher.backbone, pictures, settings.stem_steps)
    with torch.no_grad():
        parts = [all_outputs(student_spec(), weights, chunk.float()) for chunk in torch.split(pictures, BATCH)]
        for head, stage, codes in (("fine", "stage8", lessons.fine), ("coarse", "stage16", lessons.coarse)):
            solve(weights, [head], [(torch.cat([part[stage] for part in parts]), 1, 1)], codes[:_N_START])
    return weights


def _save(path: Path, weights: dict[str, torch.Tensor]) -> None:
    arrays: dict[str, NDArray[np.float16]] = {k: v.detach().numpy().astype(np.float16) for k, v in weights.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)  # type: ignore[arg-type,unused-ignore]


def main() -> None:
    """Command line of the distillation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="ResNet-18 weights (.npz); torchvision's when absent")
    parser.add_argument(
        "--pictures", type=Path, action="append", default=[], help="folder of pictures that may be used"
    )
    parser.add_argument("--crops", type=int, default=20000, help="crops to learn from")
    parser.add_argument("--minutes", type=float, default=60, help="training time, after the crops are made")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="student.npz to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    distil(
        DistilSettings(
            given.teacher, tuple(given.pictures), given.crops, given.minutes, given.seed, given.start, given.out
        )
    )


if __name__ == "__main__":
    main()
