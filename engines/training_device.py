"""Where a training's networks learn: on a GPU when there is one that torch can use, else on so many threads."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """torch works on `n_threads` threads here, and on as many as before afterwards.

    More threads than idle cores wait for one another at every step: on a machine that shares its cores, a network of
    small layers learns many times slower on all of them than on one. Without torch nothing is done.
    """
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
