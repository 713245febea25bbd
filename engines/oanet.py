"""OANet: a picture branch and a branch for machine parameters, aligned stage by stage, refined and fused.

What is black in the picture is lost, and stands for what good parts show there. At each of the stages the maps of the
image branch are mixed by a 1x1 convolution, pooled (mean and maximum) and projected to `ALIGNED` numbers, and so is a
layer of the external branch, an MLP on [z (1 - m), m]. Maps of a backbone that is kept as it is are first told by
place: standard deviations from what good parts show there, and their amount. Training adds
1 - cos(image_k, external_k) for every stage. Refinement: the principal components of each stage's image numbers,
fixed in number, put behind those of the stages before. The last head sees these and every stage of both branches as it
is. Everything is one graph:

    picture (N, 3, side, side) uint8 RGB, fields (N, F) float32, missing (N, F) float32 of 0 and 1
    -> image, external, fused (N, 1) probabilities of a defect, embedding (N, REFINED * stages)

Source: 000_51cdc475db3dfdae.txt section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone, BackboneSpec
from engines.oanet_branches import N_STAGES
from schemas.errors import SetupError

MOST_DEVIATION = 8.0
"""Standard deviations beyond which a place is no stranger."""
MIXED, ALIGNED, REFINED, HIDDEN = 24, 32, 16, 64
"""Channels after the 1x1 convolution, numbers a stage is aligned in, principal components kept, hidden units."""
Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Oanet:
    """A trained network: its image branch, the arrays named by `head_shapes`, and the side of its picture in px.

    `kept`: the backbone did not learn, and its maps are told by place.
    """

    branch: str
    backbone: Backbone
    arrays: Arrays
    side_px: int
    n_fields: int
    kept: bool

    def __post_init__(self) -> None:
        shapes = head_shapes(self.backbone.spec, self.n_fields, self.side_px, self.kept)
        for name, shape in shapes.items():
            if name not in self.arrays or self.arrays[name].shape != shape:
                found = self.arrays[name].shape if name in self.arrays else "absent"
                raise SetupError(f"OANet array {name!r} is {found}, wanted {shape}; train the bundle again")


def head_shapes(spec: BackboneSpec, n_fields: int, side_px: int, kept: bool) -> dict[str, tuple[int, ...]]:
    """Shape of every array beside the backbone's; dense layers are (out, in)."""
    shapes: dict[str, tuple[int, ...]] = {
        "usual": (3, side_px, side_px),
        "fields.mean": (n_fields,),
        "fields.scale": (n_fields,),
    }
    width = 2 * n_fields
    for k, level in enumerate(spec.levels):
        if kept:
            side = -(-side_px // level.stride_px)
            shapes |= {f"place{k}.{part}": (level.channels, side, side) for part in ("mean", "scale")}
        shapes |= _dense(f"mix{k}", MIXED, level.channels * (2 if kept else 1))
        shapes |= _dense(f"image{k}", ALIGNED, 2 * MIXED)
        shapes |= _dense(f"hidden{k}", HIDDEN, width)
        shapes |= _dense(f"external{k}", ALIGNED, HIDDEN)
        shapes |= _dense(f"refine{k}", REFINED, ALIGNED)
        width = HIDDEN
    every = N_STAGES * ALIGNED
    shapes |= _dense("image", 1, every) | _dense("external", 1, every)
    shapes |= _dense("joint", HIDDEN, N_STAGES * REFINED + 2 * every) | _dense("fused", 1, HIDDEN)
    return shapes


def initial_arrays(
    spec: BackboneSpec, n_fields: int, side_px: int, kept: bool, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Arrays before training: He's normal weights, no offsets, nothing known of fields and places."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in head_shapes(spec, n_fields, side_px, kept).items():
        plain = len(shape) != 2
        value = np.zeros(shape) if plain else rng.normal(0, np.sqrt(2 / shape[1]), shape)
        arrays[name] = np.asarray(value, np.float32)
    arrays["fields.scale"] = np.ones(n_fields, np.float32)
    return arrays


def _dense(name: str, n_out: int, n_in: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}
