"""A layout: where a product's pictures show the part and its printed machine parameters. People may edit the TOML."""

from __future__ import annotations

import json
import tomllib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import SetupError
from schemas.verdict import Box

LAYOUT_FORMAT = "sightline.layout.v1"
RelationKind = Literal["order", "product"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayoutField(_Record):
    """One printed machine parameter."""

    name: str = Field(min_length=1, max_length=80)
    unit: str = Field(default="", max_length=16, description="as printed behind the number; empty when there is none")
    decimals: int = Field(ge=0, le=9, description="digits behind the point; a number with another count is not read")
    decimal_mark: Literal[".", ","] = "."
    low: float = Field(description="lowest plausible value; below it the reading is out_of_range")
    high: float = Field(description="highest plausible value")
    name_px: Box = Field(description="the printed name, which never changes; anchors the layout")
    value_px: Box = Field(description="the number with its unit, with room for the longest")
    digits_px: tuple[float, float] = Field(description="upper and lower edge of the digits, rows of the picture")
    colour: str = Field(default="#ffffff", pattern="^#[0-9a-f]{6}$", description="of the print; for people")
    dark_ink: bool = Field(default=False, description="dark text on a light ground")
    trusted: bool = Field(default=True, description="false: never read, always abstained")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"field {self.name!r}: low {self.low} must be below high {self.high}")
        top, bottom = self.digits_px
        if not bottom - top >= 5:
            raise ValueError(f"field {self.name!r}: digits from row {top} to {bottom} are less than 5 px high")
        for box in (self.name_px, self.value_px):
            if min(box[:2]) < 0 or min(box[2:]) < 1:
                raise ValueError(f"field {self.name!r}: box {list(box)} is not x, y, width, height in the picture")
        return self


class Relation(_Record):
    """What physics ties: ``order``: the fields never decrease; ``product``: the first is the second times the third.

    `factor` (product only): first = factor x second x third, within `tolerance` and the rounding of what is printed.
    """

    kind: RelationKind
    fields: tuple[str, ...] = Field(min_length=2)
    factor: float = 1.0
    tolerance: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.kind == "product" and len(self.fields) != 3:
            raise ValueError(f"relation {list(self.fields)}: a product names three fields: result, factor, factor")
        return self


class Layout(_Record):
    """What `sightline layout` finds once per product."""

    format: Literal["sightline.layout.v1"] = "sightline.layout.v1"
    product: str = Field(min_length=1)
    frame_size_px: tuple[int, int]
    picture: str = Field(default="layout.png", description="the reference picture, beside this file")
    part_px: Box | None = Field(default=None, description="where the part itself is shown; absent: everywhere")
    least_confidence: float = Field(default=0.9, ge=0, le=1, description="below it a reading is abstained")
    least_read: float = Field(default=0.5, ge=0, le=1, description="share of fields below which a pass is reviewed")
    fields: tuple[LayoutField, ...] = Field(min_length=1, validation_alias="field", serialization_alias="field")
    relations: tuple[Relation, ...] = Field(default=(), validation_alias="relation", serialization_alias="relation")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def units(self) -> dict[str, str | None]:
        """Unit of each field, None where it has none."""
        return {each.name: each.unit or None for each in self.fields}

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [each.name for each in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fields {twice} are there twice; every name needs to be its own")
        unknown = sorted({name for relation in self.relations for name in relation.fields} - set(names))
        if unknown:
            raise ValueError(f"relations name {unknown}, which are no fields; there are {names}")
        width, height = self.frame_size_px
        boxes = [(f"{each.name}.{what}", box) for each in self.fields
                 for what, box in (("name_px", each.name_px), ("value_px", each.value_px))]  # fmt: skip
        boxes += [("part_px", self.part_px)] if self.part_px is not None else []
        for what, (x, y, w, h) in boxes:
            if x < 0 or y < 0 or x + w > width or y + h > height:
                raise ValueError(f"{what} {[x, y, w, h]} reaches over the frame of {width}x{height} px")
        return self


def decode_layout(content: bytes, name: str = "layout.toml") -> Layout:
    """The layout a TOML file holds. Raises: SetupError naming the file, the place in it and the fault."""
    try:
        return Layout.model_validate(tomllib.loads(content.decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SetupError(f"{name} is not TOML: {exc}; correct it, or find the layout again: sightline layout") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SetupError(f"{name} is invalid at {where}: {first['msg']}") from exc


def encode_layout(layout: Layout) -> bytes:
    """The layout as TOML for people, one table a field."""
    document = layout.model_dump(mode="json", by_alias=True, exclude_none=True)
    lines = ["# Found by `sightline layout`. Correct it by hand, then: sightline layout --check layout.toml PICTURES"]
    lines += [_line(name, value) for name, value in document.items() if name not in ("field", "relation")]
    for table in ("field", "relation"):
        for entry in document[table]:
            lines += ["", f"[[{table}]]", *(_line(name, value) for name, value in entry.items())]
    return ("\n".join(lines) + "\n").encode()


def _line(name: str, value: object) -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
