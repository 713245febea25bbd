"""Our own small backbone: plain 3x3 convolutions to strides 8 and 16, distilled from ResNet-18's mixed features.

Its weights are ours (engines/distil.py makes them from procedural pictures) and ship as student.npz in half precision.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.backbone import Backbone, BackboneSpec, Conv, Level, check_weights
from schemas.errors import SetupError

FINE_CHANNELS = 64
"""Channels of the level at stride 8: principal components of ResNet-18's stages 1 and 2."""
COARSE_CHANNELS = 48
"""Channels of the level at stride 16: principal components of stage 3."""
STUDENT_WEIGHTS = Path(__file__).with_name("student.npz")


def student_spec() -> BackboneSpec:
    """0.4 million weights, 0.26 billion multiply-adds at 256x256."""
    layers = (
        Conv("stem", "input", "stem", 3, 2),
        Conv("down4", "stem", "down4", 3, 2),
        Conv("stage4", "down4", "stage4", 3, residual="down4"),
        Conv("down8", "stage4", "down8", 3, 2),
        Conv("inner8", "down8", "inner8", 3),
        Conv("stage8", "inner8", "stage8", 3, residual="down8"),
        Conv("fine", "stage8", "fine", 1, relu=False),
        Conv("down16", "stage8", "down16", 3, 2),
        Conv("inner16a", "down16", "inner16a", 3),
        Conv("stage16a", "inner16a", "stage16a", 3, residual="down16"),
        Conv("inner16b", "stage16a", "inner16b", 3),
        Conv("stage16b", "inner16b", "stage16b", 3, residual="stage16a"),
        Conv("coarse", "stage16b", "coarse", 1, relu=False),
    )
    levels = (Level("stage4", 32, 4), Level("fine", FINE_CHANNELS, 8), Level("coarse", COARSE_CHANNELS, 16))
    return BackboneSpec("student", layers, levels)


def student_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Weight name -> (out, in, kernel, kernel)."""
    return {
        "stem": (24, 3, 3, 3),
        "down4": (32, 24, 3, 3),
        "stage4": (32, 32, 3, 3),
        "down8": (64, 32, 3, 3),
        "inner8": (64, 64, 3, 3),
        "stage8": (64, 64, 3, 3),
        "fine": (FINE_CHANNELS, 64, 1, 1),
        "down16": (80, 64, 3, 3),
        "inner16a": (80, 80, 3, 3),
        "stage16a": (80, 80, 3, 3),
        "inner16b": (80, 80, 3, 3),
        "stage16b": (80, 80, 3, 3),
        "coarse": (COARSE_CHANNELS, 80, 1, 1),
    }


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
