"""Arithmetic that stays in the width of its operands, inside numba kernels.

Numba widens every integer operation to 64 bits, and LLVM then packs 8 of them into a vector register where 32
int16 would fit. These wrap around at the operands' own width, so loops over int16 run four times as wide.
They can be called from compiled kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic


def _binary(operation: str) -> Callable[[Any, Any], Any]:
    def typed(_context: Any, a: Any, b: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return getattr(builder, operation)(values[0], values[1])

        return (a(a, a), generate) if a == b else None

    return cast(Callable[[Any, Any], Any], intrinsic(typed))


_UNSIGNED = {types.int16: types.uint16, types.int32: types.uint32}
_SIGNED = {wide: lane for lane, wide in _UNSIGNED.items()}


def _cast(kinds: dict[Any, Any]) -> Callable[[Any], Any]:
    def typed(_context: Any, a: Any) -> Any:
        def generate(_target: Any, _builder: Any, _signature: Any, values: Any) -> Any:
            return values[0]

        return kinds[a](a), generate

    return cast(Callable[[Any], Any], intrinsic(typed))


def _not(_context: Any, a: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.not_(values[0])

    return a(a), generate


add = _binary("add")
subtract = _binary("sub")
shift_left = _binary("shl")
shift_right = _binary("ashr")
bits_and = _binary("and_")
bits_or = _binary("or_")
bits_xor = _binary("xor")
bits_not = cast(Callable[[Any], Any], intrinsic(_not))
unsigned = _cast(_UNSIGNED)
signed = _cast(_SIGNED)
