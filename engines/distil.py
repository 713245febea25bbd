"""Distil the student backbone from ResNet-18's mixed features, on pictures that may be shipped.

Run ``python -m engines.distil --teacher resnet18.npz --minutes 60 --out engines/student.npz [--pictures DIR ...]``
(needs the extra `train`). Crops come from engines/distil_pictures.py: procedural ones, and the folders given: give
only pictures whose licence lets weights made from them be shipped. All crops and their targets are made first and
kept in memory (about 90 kB each); then the student makes as many rounds over them as the time allows.

The target at each place is the principal components of the teacher's stages (1 and 2 for the level at
stride 8, 3 for the one at stride 16), each stage scaled to unit total variance and the spectrum flattened
by a fourth root, so that fine differences, which defects live on, weigh as much as bold ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.backbone import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, MaxPool
from engines.backbone_resnet import load_resnet18
from engines.backbone_student import COARSE_CHANNELS, FINE_CHANNELS, student_shapes, student_spec
from engines.distil_pictures import CROP_PX, crops

if TYPE_CHECKING:
    import torch

BATCH = 16
_PEAK_RATE = 2e-3
_SAVE_EVERY_STEPS = 500


@dataclass(frozen=True, slots=True)
class DistilSettings:
    """`n_crops` are made once; training then takes `minutes` of wall clock; `start`: weights to go on from."""

    teacher: Path | None
    folders: tuple[Path, ...]
    n_crops: int
    minutes: float
    seed: int
    start: Path | None
    out: Path


def forward(spec: BackboneSpec, weights: dict[str, torch.Tensor], pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Levels of `spec` on `pictures` (N, 3, H, W) float in [0, 255]; the torch twin of backbone.add_backbone."""
    import torch.nn.functional as nn

    mean = pictures.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = pictures.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    values = {"input": (pictures / 255 - mean) / std}
    for layer in spec.layers:
        source = values[layer.source]
        if isinstance(layer, MaxPool):
            values[layer.output] = nn.max_pool2d(source, 3, 2, 1)
            continue
        kernel, bias = weights[f"{layer.weights}.weight"], weights[f"{layer.weights}.bias"]
        value = nn.conv2d(source, kernel, bias, layer.stride, layer.kernel // 2)
        if layer.residual is not None:
            value = value + values[layer.residual]
        values[layer.output] = nn.relu(value) if layer.relu else value
    return {level.name: values[level.name] for level in spec.levels}


class Teacher:
    """ResNet-18 and the linear code of its stages that the student learns to predict."""

    def __init__(self, weights: Path | None, calibration: torch.Tensor) -> None:
        """Fit the codes on `calibration` (N, 3, H, W) pictures."""
        import torch

        backbone = load_resnet18(weights)
        self._spec = backbone.spec
        self._weights = {name: torch.from_numpy(np.array(value)) for name, value in backbone.weights.items()}
        fine, coarse = self._stages(calibration)
        self._fine = _code(fine, (64, 128), FINE_CHANNELS)
        self._coarse = _code(coarse, (256,), COARSE_CHANNELS)

    def targets(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, FINE, H/8, W/8) and (N, COARSE, H/16, W/16) codes of `pictures`."""
        fine, coarse = self._stages(pictures)
        return _encode(fine, self._fine), _encode(coarse, self._coarse)

    def _stages(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        with torch.no_grad():
            levels = forward(self._spec, self._weights, pictures)
            pooled = torch.nn.functional.avg_pool2d(levels["layer1"], 3, 2, 1, count_include_pad=False)
            return torch.cat([pooled, levels["layer2"]], 1), levels["layer3"]


def _code(features: torch.Tensor, stages: tuple[int, ...], channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (C,) and matrix (channels, C) of the code described in the module's docstring."""
    import torch

    flat = features.permute(1, 0, 2, 3).flatten(1).double()
    mean = flat.mean(1)
    centred = flat - mean[:, None]
    blocks = torch.split(centred, list(stages))
    scale = torch.cat([block.square().sum(0).mean().rsqrt().expand(len(block)) for block in blocks])
    scaled = centred * scale[:, None]
    values, vectors = torch.linalg.eigh(scaled @ scaled.T / scaled.shape[1])
    order = torch.argsort(values, descending=True)[:channels]
    gain = (values[order] / values[order[0]]).clamp_min(1e-6).pow(-0.25)
    matrix = (vectors[:, order] * gain).T * scale
    return mean.float(), matrix.float()


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


def prepare_lessons(settings: DistilSettings) -> Lessons:
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
        made = teacher.targets(pictures[chunk].float())
        fine[chunk], coarse[chunk] = made[0].half(), made[1].half()
        if start % (100 * BATCH) == 0:
            _say(f"crops {start} of {n}")
    powers = [float(codes[:1024].float().square().mean()) for codes in (fine, coarse)]
    return Lessons(pictures, fine, coarse, powers[0], powers[1])


def distil(settings: DistilSettings) -> None:
    """Train the student and write its arrays, in half precision, to `settings.out`; also as it goes on."""
    import torch

    torch.manual_seed(settings.seed)
    lessons = prepare_lessons(settings)
    weights = _initial_weights(settings.start)
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
            _say(f"{100 * share:5.1f} %  step {step}  unexplained variance {smooth / 2:.3f}")
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


def _initial_weights(start: Path | None) -> dict[str, torch.Tensor]:
    import torch

    if start is not None:
        with np.load(start, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    weights = {}
    for name, shape in student_shapes().items():
        fan_in = shape[1] * shape[2] * shape[3]
        gain = 0.1 if name in ("fine", "coarse") else 0.3 if name.startswith("stage") else 1.0
        weights[f"{name}.weight"] = torch.randn(shape) * gain * (2 / fan_in) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(shape[0])
    return weights


def _save(path: Path, weights: dict[str, torch.Tensor]) -> None:
    arrays: dict[str, NDArray[np.float16]] = {k: v.detach().numpy().astype(np.float16) for k, v in weights.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)  # type: ignore[arg-type,unused-ignore]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
