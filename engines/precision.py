"""How a backbone computes, by name; everything after it is float32 (docs/bundles.md says which backend runs which)."""

from __future__ import annotations

from typing import Literal

Precision = Literal["int8", "int8-symmetric", "f16", "f32"]
"""8 bits from zero points, 8 bits around zero, half precision, single precision."""

ROUNDED: tuple[Precision, ...] = ("int8", "int8-symmetric")
"""Those whose activations have ranges, measured on good parts."""
