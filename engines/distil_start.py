"""A start for the student: ResNet-18's own stages 2 and 3, narrowed, so that hours of training become minutes.

Of each teacher tensor the channels are kept that explain the most of all its channels (pivoted Cholesky of the
covariance). Each convolution is then solved by least squares: from what the student sees there to what the teacher's
kept channels are before their ReLU, so that a layer makes up for what the ones before it lost. Only the first three
layers, whose shape is not the teacher's, start at random and learn stage 1's kept channels by gradient steps.
Source: He, Zhang, Sun: Channel Pruning for Accelerating Very Deep Neural Networks (2017), with another selection.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from engines.backbone import Backbone, BackboneSpec, Level
from engines.backbone_student import (
    CHANNELS_4,
    CHANNELS_8,
    CHANNELS_16,
    INNER_8,
    INNER_16,
    student_shapes,
    student_spec,
)
from engines.backbone_torch import all_outputs, forward

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

_STAGES = (("stage8", "layer2", CHANNELS_8, INNER_8), ("stage16", "layer3", CHANNELS_16, INNER_16))
_BATCH = 16
_STEM_RATE = 3e-3
_RIDGE = 1e-4


def narrowed(teacher: Backbone, pictures: torch.Tensor, stem_steps: int) -> Tensors:
    """The student's weights; its heads `fine` and `coarse` stay at random.

    Args: pictures: (N, 3, H, W) uint8 to solve on; all the tensors it needs of them are held (about 1.2 MB each).
    """
    import torch

    weights: Tensors = {}
    for name, shape in student_shapes().items():
        weights[f"{name}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(shape[0])
    weights["stage4.weight"] *= 0.3
    given = {name: torch.from_numpy(np.array(value)) for name, value in teacher.weights.items()}
    names = ["layer1", *(name for _, layer, _, _ in _STAGES for name in _teacher_names(layer))]
    names += [f"{name}.before" for name in names]
    with torch.no_grad():
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        for chunk in torch.split(pictures, _BATCH):
            outputs = all_outputs(teacher.spec, given, chunk.float())
            for name in names:
                parts[name].append(outputs[name].half())
        shown = {name: torch.cat(part) for name, part in parts.items()}
    _learn_stem(weights, pictures, shown["layer1"], stem_steps)
    with torch.no_grad():
        halves = [
            all_outputs(_stem_spec(), weights, chunk.float())["stage4"] for chunk in torch.split(pictures, _BATCH)
        ]
        source = torch.cat(halves)
        for stage, layer, wide, inner in _STAGES:
            source = _solve_stage(weights, stage, layer, wide, inner, source, shown)
    return weights


def _teacher_names(layer: str) -> tuple[str, str, str, str]:
    """The four tensors of a stage: inner and output of its two blocks."""
    return f"{layer}.0.inner", f"{layer}.0", f"{layer}.1.inner", layer


def _stem_spec() -> BackboneSpec:
    """The student as far as stride 4."""
    layers = tuple(each for each in student_spec().layers if each.output in ("stem", "down4", "stage4"))
    return BackboneSpec("stem", layers, (Level("stage4", CHANNELS_4, 4),))


def _learn_stem(weights: Tensors, pictures: torch.Tensor, target: torch.Tensor, steps: int) -> None:
    """Gradient steps of stem, down4 and stage4 towards the kept channels of `target` (N, 64, H / 4, W / 4)."""
    import torch

    kept = kept_channels(target, CHANNELS_4)
    spec, names = _stem_spec(), [f"{n}.{part}" for n in ("stem", "down4", "stage4") for part in ("weight", "bias")]
    scale = target[:256, kept].float().square().mean((0, 2, 3)).clamp_min(1e-6).rsqrt().view(1, -1, 1, 1)
    learning = [weights[name].requires_grad_() for name in names]
    optimiser = torch.optim.AdamW(learning, lr=_STEM_RATE, weight_decay=1e-4)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _STEM_RATE * (0.02 + 0.98 * (1 - step / steps))
        chosen = torch.randint(len(pictures), (_BATCH,))
        shown = pictures[chosen].float().contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found = forward(spec, weights, shown)["stage4"]
        loss = ((found.float() - target[chosen][:, kept].float()) * scale).square().mean()
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        optimiser.step()
        if step % 100 == 0 or step == steps - 1:
            say(f"stem: step {step} of {steps}, unexplained {float(loss.detach()):.3f}")
    for name in names:
        weights[name] = weights[name].detach()


def _solve_stage(
    weights: Tensors, stage: str, layer: str, wide: int, inner: tuple[int, int], source: torch.Tensor,
    shown: Mapping[str, torch.Tensor],
) -> torch.Tensor:  # fmt: skip
    """Solve both blocks of `stage` for the teacher's `layer`; returns the stage's output."""
    import torch.nn.functional as nn

    first, names = f"{stage}a", _teacher_names(layer)
    kept = kept_channels(shown[layer], wide)
    for block, (name, stride) in enumerate(((first, 2), (stage, 1))):
        within, out = names[2 * block], names[2 * block + 1]
        chosen = kept_channels(shown[within], inner[block])
        solve(weights, [f"{name}.inner"], [(source, 3, stride)], shown[f"{within}.before"][:, chosen])
        middle = nn.relu(nn.conv2d(source, *_pair(weights, f"{name}.inner"), stride, 1))
        goal = shown[f"{out}.before"][:, kept].float()
        if stride == 2:
            solve(weights, [name, f"{name}.shortcut"], [(middle, 3, 1), (source, 1, 2)], goal)
            beside = nn.conv2d(source, *_pair(weights, f"{name}.shortcut"), 2)
        else:
            solve(weights, [name], [(middle, 3, 1)], goal - source)
            beside = source
        source = nn.relu(nn.conv2d(middle, *_pair(weights, name), 1, 1) + beside)
        wanted = nn.relu(goal)
        lost = (source - wanted).square().mean() / (wanted - wanted.mean((0, 2, 3), True)).square().mean()
        say(f"{name}: {float(lost):.3f} of the kept channels of {out} unexplained")
    return source


def kept_channels(tensor: torch.Tensor, n: int) -> list[int]:
    """The `n` channels of `tensor` (N, C, h, w) that explain most of all, by pivoted Cholesky of their covariance."""
    import torch

    flat = tensor[:256].float().permute(1, 0, 2, 3).flatten(1)
    left = torch.cov(flat).double()
    kept: list[int] = []
    for _ in range(n):
        explained = left.square().sum(0) / left.diagonal().clamp_min(1e-12)
        explained[kept] = -1
        best = int(torch.argmax(explained))
        kept.append(best)
        left = left - torch.outer(left[:, best], left[best]) / left[best, best].clamp_min(1e-12)
    return kept


def solve(weights: Tensors, names: list[str], sources: list[tuple[torch.Tensor, int, int]], goal: torch.Tensor) -> None:
    """Set the convolutions `names`, whose sum shall be `goal` (N, C, h, w), by ridge regression.

    Args: sources: input (N, c, H, W), kernel and stride of each. The bias goes to the first, the others' are 0.
    """
    import torch
    import torch.nn.functional as nn

    size = sum(x.shape[1] * k * k for x, k, _ in sources) + 1
    gram, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, goal.shape[1], dtype=torch.float64)
    for start in range(0, len(goal), _BATCH):
        chunk = slice(start, start + _BATCH)
        rows = [
            nn.unfold(x[chunk].float(), k, padding=k // 2, stride=s).transpose(1, 2).flatten(0, 1)
            for x, k, s in sources
        ]
        wide = torch.cat([*rows, torch.ones(len(rows[0]), 1)], 1)
        gram += (wide.T @ wide).double()
        right += (wide.T @ goal[chunk].float().permute(0, 2, 3, 1).flatten(0, 2)).double()
    gram.diagonal().add_(_RIDGE * float(gram.diagonal().mean()))
    found = torch.linalg.solve(gram, right).float()
    at = 0
    for name, (x, k, _) in zip(names, sources, strict=True):
        n = x.shape[1] * k * k
        weights[f"{name}.weight"] = found[at : at + n].T.reshape(-1, x.shape[1], k, k).contiguous()
        weights[f"{name}.bias"] = torch.zeros(goal.shape[1])
        at += n
    weights[f"{names[0]}.bias"] = found[-1].contiguous()


def _pair(weights: Tensors, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def say(text: str) -> None:
    """Progress, a line on stderr."""
    print(text, file=sys.stderr, flush=True)
