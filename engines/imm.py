"""The image matching module: a two-branch network that tells the pose of a part from its picture.

Two weight-shared fully convolutional branches N_P turn frame and template into feature maps; they are
concatenated, and a regression network N_R gives the shift and the turn, the latter as sine and cosine. A spatial
transformer resamples the frame onto the template. Source: figure 4 and eq. 1 of the paper "Unsupervised Automatic
Defect Inspection based on Image Matching and Local One-class Classification", section 2.1; it leaves the layers
open, those below are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SetupError

Weights = dict[str, NDArray[np.float32]]
"""Arrays by name: `<layer>.weight` (out, in, kh, kw) or (out, in), `<layer>.bias` (out,)."""


@dataclass(frozen=True, slots=True)
class ConvLayer:
    """A convolution with bias, then a rectifier."""

    name: str
    n_in: int
    n_out: int
    kernel: int
    stride: int


BRANCH: Final = (
    ConvLayer("branch1", 1, 16, 5, 2),
    ConvLayer("branch2", 16, 32, 3, 2),
    ConvLayer("branch3", 32, 64, 3, 2),
)
"""N_P, run on the frame and on the template with the same weights."""
REGRESSION: Final = (ConvLayer("join1", 128, 96, 3, 1), ConvLayer("join2", 96, 96, 3, 2))
"""N_R, before its two dense layers `dense1` and `pose`."""
N_HIDDEN: Final = 256
N_OUT: Final = 4
"""tx, ty as shares of half the picture; sine and cosine of the turn, before they are brought to unit length."""
SIDE_PX: Final = 64
"""Longest side of the pictures the network looks at."""


@dataclass(frozen=True, slots=True)
class ImmGeometry:
    """Sizes of one network. `size` (width, height) of template and frame at working size; `shrink` to the network's."""

    size: tuple[int, int]
    shrink: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> ImmGeometry:
        """The geometry for a template of `size`.

        Raises: SetupError when no whole shrink brings it to 16 to 64 pixels a side.
        """
        shrink = max(1, -(-max(size) // SIDE_PX))
        while shrink * 16 <= min(size) and any(side % shrink for side in size):
            shrink += 1
        if shrink * 16 > min(size) or any(side % shrink for side in size):
            raise SetupError(f"no network fits a template of {size[0]}x{size[1]} px: choose sides that 4 or 8 divides")
        return cls(size, shrink)

    @property
    def small(self) -> tuple[int, int]:
        """(width, height) of what the network sees."""
        return self.size[0] // self.shrink, self.size[1] // self.shrink

    @property
    def n_features(self) -> int:
        """Length of the flattened features that enter `dense1`."""
        width, height = self.small
        for layer in (*BRANCH, *REGRESSION):
            width, height = -(-width // layer.stride), -(-height // layer.stride)
        return width * height * REGRESSION[-1].n_out


def fitting_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) nearest to `size` that a network takes; a picture resized to it is hardly distorted.

    Raises: SetupError when one side is less than a quarter of the other.
    """
    shrink = max(1, -(-max(size) // SIDE_PX))
    width, height = (max(1, round(side / shrink)) * shrink for side in size)
    if min(width, height) < 16 * shrink:
        raise SetupError(
            f"no network fits a template of {size[0]}x{size[1]} px: one side is less than a quarter of the other"
        )
    return width, height


def initial_weights(geometry: ImmGeometry, seed: int) -> Weights:
    """He-normal weights, zero biases; the last layer starts near no motion."""
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for layer in (*BRANCH, *REGRESSION):
        fan_in = layer.n_in * layer.kernel**2
        shape = (layer.n_out, layer.n_in, layer.kernel, layer.kernel)
        weights[f"{layer.name}.weight"] = (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        weights[f"{layer.name}.bias"] = np.zeros(layer.n_out, np.float32)
    for name, n_in, n_out, gain in (
        ("dense1", geometry.n_features, N_HIDDEN, 2.0),
        ("pose", N_HIDDEN, N_OUT, 0.1),
    ):
        weights[f"{name}.weight"] = (rng.normal(size=(n_out, n_in)) * np.sqrt(gain / n_in)).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(n_out, np.float32)
    return weights


def check_weights(weights: Weights, geometry: ImmGeometry) -> None:
    """Raises: SetupError naming the array that is missing, misshapen or not finite."""
    for name, wanted in initial_weights(geometry, 0).items():
        found = weights.get(name)
        if found is None or found.shape != wanted.shape or not np.isfinite(found).all():
            seen = "absent" if found is None else f"of shape {found.shape}"
            raise SetupError(f"matching network: array {name} is {seen}, wanted finite {wanted.shape}; train it again")
