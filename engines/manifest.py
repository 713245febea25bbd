"""What a bundle says about itself: the manifest, a frozen record in JSON inside the bundle."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from engines.align_settings import AlignSettings
from schemas.times import Timestamp
from schemas.verdict import Box, Thresholds

MANIFEST_FORMAT = "sightline.bundle.v1"
SizePx = tuple[int, int]
"""(width, height) in pixels."""
Reduction = Literal[1, 2, 4]
"""Pixels as sent, a side, that one decoded pixel stands for."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Record):
    """Digest of one file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class ScoreSettings(_Record):
    """How the model's score grid becomes a score map and a frame score (see pipeline/score_map.py).

    The centre of grid cell (row i, column j) lies at template pixel
    (grid_origin_px + j * grid_stride_px, grid_origin_px + i * grid_stride_px).
    """

    grid_stride_px: float = Field(default=8.0, gt=0, description="template px between neighbouring cells")
    grid_origin_px: float = Field(default=3.5, description="template px of the centre of cell 0; 3.5 = tiles of 8 px")
    smooth_sigma_px: float = Field(default=4.0, ge=0, description="Gaussian smoothing of the score map")
    robust_area_px: int = Field(default=16, ge=1, description="the frame score is the score that this many px reach")
    border_px: int = Field(default=4, ge=0, description="template px beside the frame's edge not trusted themselves")


class Calibration(_Record):
    """Where the thresholds come from; every figure measured on good frames kept out of training."""

    n_good: int = Field(ge=0)
    n_bad: int = Field(default=0, ge=0)
    false_calls_per_1000: float | None = Field(default=None, ge=0, description="the target asked for")
    score_median: float | None = None
    score_spread: float | None = None
    residual_limit: float | None = None
    method: str = ""
    figures: dict[str, JsonValue] = Field(default_factory=dict)


class Training(_Record):
    """How the model was made: enough to make it again."""

    n_good: int = Field(ge=0)
    seed: int = 0
    version: str = ""
    pictures_sha256: str | None = Field(default=None, description="sha256 over the sorted sha256 of every picture")
    figures: dict[str, JsonValue] = Field(default_factory=dict)


class ParityEntry(_Record):
    """One backend against the reference, on the same inputs."""

    backend: str
    precision: str
    version: str
    max_difference: float = Field(description="greatest |score| difference over every cell of every picture")
    n_flips: int = Field(ge=0, description="frames whose outcome differs from the reference's")
    holds: bool
    detail: str = ""


class ParityReport(_Record):
    """Every backend that was there against ONNX Runtime in float32 (see engines/parity.py)."""

    reference: str
    n_pictures: int = Field(ge=1)
    tolerance: float = Field(gt=0)
    entries: tuple[ParityEntry, ...]

    @property
    def holds(self) -> bool:
        """Whether every backend that was tried agrees with the reference."""
        return all(entry.holds for entry in self.entries)


class Manifest(_Record):
    """The record `manifest.json`; `members` lists every other file of the bundle."""

    format: Literal["sightline.bundle.v1"] = "sightline.bundle.v1"
    product: str = Field(min_length=1)
    created_at: Timestamp
    version: str = Field(default="", description="Sightline version that built it")
    members: dict[str, Member] = Field(default_factory=dict)

    input_size_px: SizePx = Field(description="width, height of the template and the model's input")
    frame_size_px: SizePx = Field(description="width, height frames must have; any other is uninspected(wrong_size)")
    colour: Literal["grey", "rgb"] = "grey"
    significant_bits: int = Field(default=16, ge=8, le=16, description="of a 16-bit frame: 8-bit = v >> (bits - 8)")
    decode_reduction: Reduction = Field(
        default=1, description="frames are decoded at this fraction of their size; all coordinates stay as sent"
    )
    align: AlignSettings | None = Field(default=None, description="None: frames are only resized to the input size")
    score: ScoreSettings = ScoreSettings()

    thresholds: Thresholds
    cell_threshold: float = Field(description="score of a grid cell above which it counts as exceeding")
    min_area_px: int = Field(default=1, ge=1, description="of the template")
    um_per_px: float | None = Field(default=None, gt=0, description="micrometres a pixel of the frame as sent")
    ignore_px: tuple[Box, ...] = ()

    backbone: str = ""
    precision: str = "f32"
    calibration: Calibration = Calibration(n_good=0)
    training: Training = Training(n_good=0)
    parity: ParityReport | None = None

    def area_px(self, area_mm2: float, um_per_px: float) -> int:
        """Pixels of the template that cover `area_mm2` of the part, rounded down, at least 1.

        Args: um_per_px: micrometres a pixel of the frame as sent.
        """
        (width, height), (frame_width, frame_height) = self.input_size_px, self.frame_size_px
        frame_px = area_mm2 * 1e6 / um_per_px**2
        return max(1, int(frame_px * (width / frame_width) * (height / frame_height) + 1e-9))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.thresholds.review > self.thresholds.fail:
            raise ValueError(
                f"thresholds.review {self.thresholds.review} exceeds thresholds.fail {self.thresholds.fail}"
            )
        for name, (width, height) in (("input_size_px", self.input_size_px), ("frame_size_px", self.frame_size_px)):
            if not (16 <= width <= 16384 and 16 <= height <= 16384):
                raise ValueError(f"{name} {width}x{height} is outside 16 to 16384 px a side")
        if any(side % self.decode_reduction for side in self.frame_size_px):
            frame = "{}x{}".format(*self.frame_size_px)
            raise ValueError(f"frame_size_px {frame} cannot be divided by decode_reduction {self.decode_reduction}")
        if self.decode_reduction > 1 and "layout.toml" in self.members:
            raise ValueError(
                f"decode_reduction {self.decode_reduction} and layout.toml: printed fields are read at full size"
            )
        return self
