"""Where a training's networks learn: on a GPU when there is one that torch can use."""

from __future__ import annotations

import importlib.util
from typing import Literal

from schemas.errors import MissingExtra, SetupError

TrainingDevice = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]


def training_device(wanted: DeviceChoice) -> TrainingDevice:
    """The device for `wanted`; auto: cuda where torch is installed and sees one.

    Raises: for cuda, MissingExtra without torch, SetupError when torch sees no GPU.
    """
    if wanted == "cpu":
        return "cpu"
    if importlib.util.find_spec("torch") is None:
        if wanted == "cuda":
            raise MissingExtra("torch", "train", "training on a GPU")
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        why = "it is built without CUDA" if torch.version.cuda is None else "check the driver with nvidia-smi"
        raise SetupError(f"--device cuda: torch {torch.__version__} sees no GPU ({why}); use --device cpu or auto")
    return "cpu"
