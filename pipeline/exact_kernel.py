"""Compiling a kernel whose floating-point results are the same bits on every machine.

`engines.kernel` lets sums be re-ordered and multiplications fused, which is faster and differs in the last bit
from one processor to the next. What enters the root-cause state must not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def exact_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, strictly by IEEE 754; cached on disk where that can be."""
    compiled: Any
    try:
        compiled = numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = numba.njit(function, nogil=True, error_model="numpy")
    return cast(Callable[P, R], compiled)
