"""An aligned frame: what the inspect agent hands to the root-cause agent, lossless."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from schemas.recipe import WindowSettings
from schemas.times import Timestamp

_LENGTH = struct.Struct("<I")


class AlignedHeader(BaseModel):
    """Identity and geometry of an aligned frame.

    `transform` is the 2x3 matrix, row by row, that takes template pixel coordinates to frame pixel
    coordinates; `frame_size_px` is (width, height) of the frame as sent.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    frame_id: str
    station: str
    product: str
    captured_at: Timestamp
    epoch: str | None
    sequence: int | None
    bundle_sha256: str
    template_sha256: str
    recipe_revision: int
    score: float
    residual: float
    cell_threshold: float
    """Score of a grid cell above which it counts as exceeding; from the bundle's calibration."""
    transform: tuple[float, float, float, float, float, float]
    frame_size_px: tuple[int, int]
    window: WindowSettings
    signals: Mapping[str, float] = {}
    """What the machine and the picture say of the process (pipeline/process_signals.py), by name; finite."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFrame:
    """`picture` (H, W) uint8 or uint16 grey on the template; `score_grid` (h, w) float32."""

    header: AlignedHeader
    picture: NDArray[np.uint8] | NDArray[np.uint16]
    score_grid: NDArray[np.float32]


class _Layout(BaseModel):
    header: AlignedHeader
    picture_shape: tuple[int, int]
    picture_dtype: str
    grid_shape: tuple[int, int]


def encode_aligned(frame: AlignedFrame) -> bytes:
    """Length-prefixed JSON layout, then the raw little-endian picture, then the raw score grid."""
    layout = _Layout(
        header=frame.header,
        picture_shape=(frame.picture.shape[0], frame.picture.shape[1]),
        picture_dtype=frame.picture.dtype.str,
        grid_shape=(frame.score_grid.shape[0], frame.score_grid.shape[1]),
    )
    head = layout.model_dump_json().encode()
    grid = np.ascontiguousarray(frame.score_grid, dtype="<f4")
    return b"".join((_LENGTH.pack(len(head)), head, np.ascontiguousarray(frame.picture).tobytes(), grid.tobytes()))


def decode_aligned(value: bytes) -> AlignedFrame:
    """The aligned frame in `value`; arrays are read-only views of it.

    Raises: ValueError when the bytes are not an aligned frame.
    """
    if len(value) < _LENGTH.size:
        raise ValueError(f"not an aligned frame: {len(value)} bytes")
    (n_head,) = _LENGTH.unpack_from(value)
    layout = _Layout.model_validate_json(value[_LENGTH.size : _LENGTH.size + n_head])
    if layout.picture_dtype not in ("|u1", "<u2"):
        raise ValueError(f"not an aligned frame: pixels of type {layout.picture_dtype}")
    start = _LENGTH.size + n_head
    height, width = layout.picture_shape
    rows, columns = layout.grid_shape
    picture = np.frombuffer(value, layout.picture_dtype, height * width, start).reshape(height, width)
    grid = np.frombuffer(value, "<f4", rows * columns, start + picture.nbytes).reshape(rows, columns)
    return AlignedFrame(layout.header, picture, grid)
