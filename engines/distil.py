"""Distil the student backbone from ResNet-18's mixed features, on pictures that may be shipped.

Run ``python -m engines.distil --teacher resnet18.npz --minutes 30 --out engines/student.npz [--pictures DIR ...]``
(needs the extra `train`). Pictures come from engines/textures.py and from the folders given: give only
pictures whose licence lets weights made from them be shipped (dagm_class4, deeppcb, Sightline's own plate).

The target at each place is the principal components of the teacher's stages (1 and 2 for the level at
stride 8, 3 for the one at stride 16), each stage scaled to unit total variance and the spectrum flattened
by a fourth root, so that fine differences, which defects live on, weigh as much as bold ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backbone import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, MaxPool
from engines.backbone_resnet import load_resnet18
from engines.backbone_student import COARSE_CHANNELS, FINE_CHANNELS, student_shapes, student_spec
from engines.textures import Picture, collage, finish, texture

if TYPE_CHECKING:
    import torch

CROP_PX = 128
BATCH = 16


def crops(rng: np.random.Generator, folders: list[Path]) -> Iterator[Picture]:
    """Endless (CROP_PX, CROP_PX, 3) RGB crops: 2/3 procedural, 1/3 from the pictures of `folders` when given."""
    files = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".bmp")) for folder in folders]
    while True:
        if files and rng.random() < 1 / 3:
            group = files[int(rng.integers(len(files)))]
            yield _picture_crop(rng, group[int(rng.integers(len(group)))])
        elif rng.random() < 0.15:
            yield finish(rng, texture(rng, CROP_PX))
        else:
            yield collage(rng, CROP_PX)


def _picture_crop(rng: np.random.Generator, path: Path) -> Picture:
    """A randomly turned, zoomed and relit crop of the picture at `path`."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise SystemExit(f"{path} is not a picture")
    height, width = picture.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(0.5), np.log(2.5))))
    zoom = max(zoom, 1.1 * CROP_PX / min(height, width))
    centre = (float(rng.uniform(0.2, 0.8) * width), float(rng.uniform(0.2, 0.8) * height))
    turn = np.array(cv2.getRotationMatrix2D(centre, float(rng.uniform(0, 360)), zoom), np.float64)
    turn[:, 2] += CROP_PX / 2 - np.array(centre)
    warped = cv2.warpAffine(picture, turn, (CROP_PX, CROP_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    return finish(rng, np.asarray(warped, np.uint8)) if rng.random() < 0.7 else np.asarray(warped, np.uint8)


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
    scale = torch.cat([block.square().sum(0).mean().rsqrt().expand(len(block)) for block in torch.split(centred, list(stages))])
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


def distil(
    teacher: Path | None, folders: list[Path], minutes: float, seed: int, start: Path | None
) -> dict[str, NDArray[np.float16]]:
    """Train the student for `minutes` of wall clock; returns its arrays in half precision."""
    import torch

    torch.manual_seed(seed)
    stream = crops(np.random.default_rng(seed), folders)

    def batch(n: int) -> torch.Tensor:
        stack = np.stack([next(stream) for _ in range(n)])
        return torch.from_numpy(stack).permute(0, 3, 1, 2).float()

    guide = Teacher(teacher, batch(256))
    weights = _initial_weights(start)
    optimiser = torch.optim.AdamW([value.requires_grad_() for value in weights.values()], lr=2e-3, weight_decay=1e-4)
    spec, began, step, smooth = student_spec(), time.monotonic(), 0, 0.0
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * float(np.cos(np.pi * share))) + 1e-5
        pictures = batch(BATCH)
        fine_target, coarse_target = guide.targets(pictures)
        levels = forward(spec, weights, pictures)
        fine_loss = (levels["fine"] - fine_target).square().mean() / fine_target.square().mean()
        coarse_loss = (levels["coarse"] - coarse_target).square().mean() / coarse_target.square().mean()
        loss = fine_loss + coarse_loss
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimiser.step()
        step += 1
        smooth = float(loss.detach()) if step == 1 else 0.98 * smooth + 0.02 * float(loss.detach())
        if step % 50 == 0:
            print(
                f"{100 * share:5.1f} %  step {step}  unexplained variance {smooth / 2:.3f}", file=sys.stderr, flush=True
            )
    return {name: value.detach().numpy().astype(np.float16) for name, value in weights.items()}


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


def main() -> None:
    """Command line of the distillation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="ResNet-18 weights (.npz); torchvision's when absent")
    parser.add_argument(
        "--pictures", type=Path, action="append", default=[], help="folder of pictures that may be used"
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="student.npz to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    arrays = distil(arguments.teacher, arguments.pictures, arguments.minutes, arguments.seed, arguments.start)
    np.savez_compressed(arguments.out, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
