"""A recipe: thresholds and layout of a product at a station, with a revision."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.verdict import Box, Thresholds


class WindowSettings(BaseModel):
    """How the root-cause agent watches a station and product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int = Field(default=31, ge=3, le=255, description="w, the frames in the rolling window")
    arl0_frames: float = Field(default=1e6, gt=1, description="frames between false alarms, whole map")
    clear_after_frames: int = Field(default=60, ge=1, description="clean frames after which an alert clears")


class Recipe(BaseModel):
    """What a station does with a product; one row of table `recipe` is one revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    station: str
    product: str
    revision: int = Field(ge=1)
    bundle_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    thresholds: Thresholds
    min_area_px: int = Field(default=1, ge=1, description="defects smaller than this are not reported")
    ignore_px: tuple[Box, ...] = Field(default=(), description="template regions never scored")
    deadline_ms: float | None = Field(default=None, gt=0, description="cycle time of the reject gate")
    pass_sample: float = Field(default=0.01, ge=0, le=1, description="share of passes kept as evidence")
    window: WindowSettings = WindowSettings()

    @model_validator(mode="after")
    def _ordered(self) -> Recipe:
        if self.thresholds.review > self.thresholds.fail:
            raise ValueError(
                f"thresholds.review {self.thresholds.review} exceeds thresholds.fail {self.thresholds.fail}"
            )
        return self
