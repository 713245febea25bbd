"""Our own small backbone: a narrow residual net to strides 8 and 16, distilled from ResNet-18's stages 1 to 3.

Two of its levels are codes that distillation taught it; its features at stride 4, on the way there, are a third.

Its weights are ours (engines/distil.py makes them; where from, and licences, in student.txt) and ship as student.npz in
half precision.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.backbone import Backbone, BackboneSpec, Conv, Level, check_weights
from schemas.errors import SetupError

STAGE_CHANNELS = (32, 48)
"""Of the level at stride 8: codes of ResNet-18's stage 1 (brought to stride 8) and of its stage 2."""
FINE_CHANNELS = sum(STAGE_CHANNELS)
COARSE_CHANNELS = 48
"""Of the level at stride 16: codes of stage 3."""
STEM_CHANNELS, CHANNELS_4, CHANNELS_8, CHANNELS_16 = 32, 48, 80, 128
INNER_8, INNER_16 = (80, 64), (96, 96)
"""Channels within the two blocks of a stage."""
STUDENT_WEIGHTS = Path(__file__).with_name("student.npz")


def student_spec() -> BackboneSpec:
    """0.65 million weights, 0.46 billion multiply-adds at 256x256."""
    layers = (
        Conv("stem", "input", "stem", 3, 2),
        Conv("down4", "stem", "down4", 3, 2),
        Conv("stage4", "down4", "stage4", 3, residual="down4"),
        *_stage("stage8", "stage4"),
        Conv("fine", "stage8", "fine", 1, relu=False),
        *_stage("stage16", "stage8"),
        Conv("coarse", "stage16", "coarse", 1, relu=False),
    )
    levels = (Level("stage4", CHANNELS_4, 4), Level("fine", FINE_CHANNELS, 8), Level("coarse", COARSE_CHANNELS, 16))
    return BackboneSpec("student", layers, levels)


def _stage(name: str, source: str) -> tuple[Conv, ...]:
    """Two residual blocks, the first of stride 2; the last one's output is `name`."""
    first = f"{name}a"
    return (
        Conv(f"{first}.shortcut", source, f"{first}.shortcut", 1, 2, relu=False),
        Conv(f"{first}.inner", source, f"{first}.inner", 3, 2),
        Conv(first, f"{first}.inner", first, 3, residual=f"{first}.shortcut"),
        Conv(f"{name}.inner", first, f"{name}.inner", 3),
        Conv(name, f"{name}.inner", name, 3, residual=first),
    )


def student_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Weight name -> (out, in, kernel, kernel)."""
    shapes = {
        "stem": (STEM_CHANNELS, 3, 3, 3),
        "down4": (CHANNELS_4, STEM_CHANNELS, 3, 3),
        "stage4": (CHANNELS_4, CHANNELS_4, 3, 3),
        "fine": (FINE_CHANNELS, CHANNELS_8, 1, 1),
        "coarse": (COARSE_CHANNELS, CHANNELS_16, 1, 1),
    }
    for name, before, wide, inner in (
        ("stage8", CHANNELS_4, CHANNELS_8, INNER_8),
        ("stage16", CHANNELS_8, CHANNELS_16, INNER_16),
    ):
        shapes[f"{name}a.shortcut"] = (wide, before, 1, 1)
        shapes[f"{name}a.inner"] = (inner[0], before, 3, 3)
        shapes[f"{name}a"] = (wide, inner[0], 3, 3)
        shapes[f"{name}.inner"] = (inner[1], wide, 3, 3)
        shapes[name] = (wide, inner[1], 3, 3)
    return shapes


def load_student(weights: Path | None = None) -> Backbone:
    """The student with the weights that ship with Sightline, or those of another file made by engines/distil.py.

    Raises: SetupError when the file is missing or not a student's.
    """
    path = weights or STUDENT_WEIGHTS
    spec = student_spec()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            loaded = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        check_weights(spec, loaded, str(path))
    except (OSError, ValueError) as exc:
        raise SetupError(
            f"student weights {path} cannot be used: {exc}; reinstall Sightline or run engines/distil.py"
        ) from exc
    return Backbone(spec, loaded)
