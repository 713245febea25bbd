"""Distil the student backbone from ResNet-18's features, on pictures that may be shipped.

Run ``python -m engines.distil --teacher resnet18.npz --minutes 60 --out engines/student.npz [--pictures DIR ...]``
(needs the extra `train`). Crops come from engines/distil_pictures.py: procedural ones, and the folders given: give
only pictures whose licence lets weights made from them be shipped. All crops and their targets are made first and
kept in memory (about 150 kB each, engines/distil_lessons.py); the student starts as a narrowed ResNet-18
(engines/distil_start.py) or as the weights given, then makes as many rounds over the crops as the time allows.

Crops come in pairs: a scene, and the same seen again with defects and a little moved. The student learns what the
teacher says of each, and what it says differently of the two, each as a share of what there is to explain in that
crop or pair: weak, dark pictures count as much as bold ones, and the faint trace of a defect as much as the scene.

The weights that ship went on (`--start`) from those before, made by this module's former recipe (crops of 128 px, one
by one, errors in units of the mean crop's power; 39 minutes): ``--pictures deeppcb --pictures open --pictures open
--seed 11 --crops 21600 --minutes 31``, in three stretches on one thread that had to share its core (957, 1000 and 7900
steps; the last began at half the peak rate). `deeppcb` are DeepPCB's pictures (MIT), `open` the 28 .png and .jpg files
in the wheels of scikit-image 0.26.0 (skimage/data) and scikit-learn 1.9.1 (sklearn/datasets/images). No other
pictures: accuracy on all others is on pictures it never saw.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.backbone_student import student_spec
from engines.backbone_torch import all_outputs, forward
from engines.distil_lessons import Lessons, Teacher, prepare_lessons, stages, varied
from engines.distil_start import narrowed, say, solve

if TYPE_CHECKING:
    import torch

BATCH_PAIRS = 6
_PEAK_RATE = 1e-3
_N_START = 1600
"""Crops that the start, or the heads of the weights given, are solved on."""
_CHUNK = 16
_SAVE_EVERY_STEPS = 500
_MEAN_STEPS = 1000
_EVEN_SHARE = 0.2
"""Weight of an error that is the same all over a crop: a model of good parts never sees it."""
_ALIKE_FLOOR = 0.02
"""Least power that the difference of a pair is taken to have, in units of the crop's."""


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


def distil(settings: DistilSettings) -> None:
    """Train the student and write its arrays, in half precision, to `settings.out`; also as it goes on.

    What is written is the running mean of the weights over about the last `_MEAN_STEPS` steps.
    Raises: InputError for unusable folders or weights; MissingExtra.
    """
    import torch

    torch.manual_seed(settings.seed)
    teacher, lessons = prepare_lessons(settings.teacher, settings.folders, settings.n_crops, settings.seed)
    weights = _initial_weights(settings, teacher, lessons)
    mean = {name: value.clone() for name, value in weights.items()}
    optimiser = torch.optim.AdamW([v.requires_grad_() for v in weights.values()], lr=_PEAK_RATE, weight_decay=1e-4)
    n, began, step, smooth = lessons.n_pairs, time.monotonic(), 0, np.zeros(2)
    order = torch.randperm(n)
    while (share := (time.monotonic() - began) / (60 * settings.minutes)) < 1:
        at = step * BATCH_PAIRS % n
        if at == 0:
            order = torch.randperm(n)
        rate = _PEAK_RATE * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * float(np.cos(np.pi * share))) + 1e-5
        for group in optimiser.param_groups:
            group["lr"] = rate
        alone, apart = _unexplained(weights, lessons, order[at : at + BATCH_PAIRS])
        optimiser.zero_grad()
        torch.autograd.backward([alone + apart])
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimiser.step()
        step += 1
        _follow(mean, weights, 1 / min(step, _MEAN_STEPS))
        smooth += (np.array([float(alone.detach()), float(apart.detach())]) - smooth) / min(step, 200)
        if step % _SAVE_EVERY_STEPS == 0:
            found = f"unexplained of crops {smooth[0] / 3:.3f}, of what differs in pairs {smooth[1] / 3:.3f}"
            say(f"{100 * share:5.1f} %  step {step}  {found}")
            _save(settings.out, mean)
    _save(settings.out, mean)


def _follow(mean: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], share: float) -> None:
    """Move `mean` by `share` of the way towards `weights`, in place."""
    import torch

    with torch.no_grad():
        for name, value in mean.items():
            value.lerp_(weights[name], share)


def _unexplained(
    weights: dict[str, torch.Tensor], lessons: Lessons, chosen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the student leaves unexplained of the pairs `chosen`: means over crops or pairs, sums over stages.

    Returns: the share of what each crop's codes vary within it, and the share of what the two of a pair differ by.
    """
    import torch

    rows = torch.cat([2 * chosen, 2 * chosen + 1])
    n = len(chosen)
    pictures = lessons.pictures[rows].float().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        levels = forward(student_spec(), weights, pictures)
    said = stages(levels["fine"].float(), levels["coarse"].float())
    wanted = stages(lessons.fine[rows].float(), lessons.coarse[rows].float())
    alone, apart = pictures.new_zeros(()), pictures.new_zeros(())
    for power, found, goal in zip(lessons.powers[rows].T, said, wanted, strict=True):
        wrong = found - goal
        even = wrong.mean((2, 3)).square().mean(1)
        alone = alone + ((varied(wrong) + _EVEN_SHARE * even) / power).mean()
        missed = (wrong[:n] - wrong[n:]).square().mean((1, 2, 3))
        there = (goal[:n] - goal[n:]).square().mean((1, 2, 3))
        apart = apart + (missed / (there + _ALIKE_FLOOR * power[:n])).mean()
    return alone, apart


def _initial_weights(settings: DistilSettings, teacher: Teacher, lessons: Lessons) -> dict[str, torch.Tensor]:
    """Those of `start`, or the teacher's own layers narrowed, with the heads that then explain the codes best."""
    import torch

    pictures = lessons.pictures[:_N_START]
    if settings.start is None:
        weights = narrowed(teacher.backbone, pictures, settings.stem_steps)
    else:
        with np.load(settings.start, allow_pickle=False) as arrays:
            weights = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    with torch.no_grad():
        parts = [all_outputs(student_spec(), weights, chunk.float()) for chunk in torch.split(pictures, _CHUNK)]
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
