"""What a person may choose about a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engines.feature_fit import FitSettings
from engines.manifest import Reduction
from engines.mapping_fit import MappingSettings
from engines.precision import Precision
from engines.training_device import TrainingDevice
from schemas.verdict import Box

Motion = Literal["none", "rigid", "similarity", "affine"]
GridPx = Literal[8, 4]
Localiser = Literal["distance", "alm", "both"]
"""What scores a place: the feature model, the mapping network, or the product of both (engines/*_model.py)."""

Scored = Literal["part", "all"]
DecodeReduction = Literal["auto"] | Reduction


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a person may choose; the defaults are those measured in docs/accuracy.md."""

    motion: Motion = "rigid"
    precision: Precision = "int8"
    input_px: int = 256
    grid_px: GridPx = 8
    """Sides of the tiles that are scored one by one, in pixels as inspected."""
    false_calls_per_1000: float = 5.0
    seed: int = 0
    n_threads: int = 1
    device: TrainingDevice = "cpu"
    """Where networks learn. Features are made on the CPU, as the line makes them."""
    decode_reduction: DecodeReduction = "auto"
    """Frames are decoded at this fraction of their size; `auto`: see pipeline/reduction.py."""
    align_image: Literal["grey", "edges"] = "grey"
    """What is brought into register: grey levels, or outlines."""
    align_start: Literal["search", "network"] = "search"
    """`network`: a matching network is trained too, which needs torch, and the alignment starts from it."""
    network_steps: int = 1500
    network_checkpoint: Path | None = None
    """File that a network's training, broken off, goes on from."""
    localiser: Localiser = "distance"
    fit: FitSettings = field(default_factory=FitSettings)
    mapping: MappingSettings = field(default_factory=MappingSettings)
    um_per_px: float | None = None
    """Micrometres a pixel of the frames, if known: smallest defects can then be given in mm²."""
    scored: Scored = "part"
    """`part`: what sharp outlines enclose, and a rim, without shadows and table. `all`: everything in the picture."""
    part_px: Box | None = None
    """Where frames show the part; nothing else is scored. None: everywhere."""
