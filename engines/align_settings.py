"""How a product is aligned: stored in the bundle's manifest, read by `engines.align.Aligner`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Motion = Literal["none", "rigid", "similarity", "affine"]
Foreground = Literal["auto", "all"]
Symmetry = Literal["unique", "equivalent"]
Start = Literal["search", "network"]
Image = Literal["grey", "edges"]


class AlignSettings(BaseModel):
    """Model of motion, capture range and limits. Pixels here are pixels of the template at working size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    motion: Motion = Field(
        default="rigid", description="what the part may do between frames; none switches alignment off"
    )
    max_angle_deg: float = Field(default=180.0, ge=0, le=180, description="largest turn either way; 180 is any angle")
    max_shift_px: float = Field(default=64.0, ge=0, description="largest move of the part's middle")
    max_scale_change: float = Field(
        default=0.05, ge=0, le=0.5, description="largest change of size, similarity and affine"
    )
    start: Start = Field(
        default="search",
        description="where the refinement starts: an FFT search over turned templates, or the trained matching network",
    )
    image: Image = Field(
        default="grey",
        description="what is brought into register: grey levels, or outlines, for parts that light strikes differently "
        "from part to part or as they turn",
    )
    working_size_px: int = Field(default=256, ge=64, le=2048, description="longest side at which the pose is refined")
    foreground: Foreground = Field(
        default="auto", description="auto finds the part before its background; all uses every pixel"
    )
    mask_png: str | None = Field(
        default=None,
        description="grey PNG in base64, of the template's size: how far to trust each pixel; wins over foreground",
    )
    symmetry: Symmetry = Field(
        default="unique",
        description="equivalent: the part looks the same after some turns, and the smallest one is taken",
    )
    pixel_aspect: float = Field(
        default=1.0, gt=0.5, lt=2, description="height over width of a template pixel in the frame"
    )
    residual_limit: float = Field(
        default=0.5, gt=0, le=1, description="1 - normalised correlation above which a frame is misaligned"
    )
    sharpness_limit: float = Field(
        default=0.0, ge=0, lt=1, description="share of the template's edge contrast below which a frame is blurred"
    )
    min_inside: float = Field(default=0.9, ge=0, le=1, description="share of the part that must lie in the frame")
