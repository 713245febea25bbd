"""How numba kernels are compiled in Sightline: lazily, without the interpreter lock, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

_REORDER = {"reassoc", "contract", "nsz"}
"""Sums may be split over vector lanes. NaN and infinity keep their meaning, unlike with `fastmath=True`."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call; later processes load it from numba's cache.

    The cache lies in ``__pycache__`` beside the source, else in the user's cache folder, else where
    NUMBA_CACHE_DIR says. Where none of them can be written the kernel is compiled anew by every process (seconds,
    once, at start), and nothing fails. A float divided by zero is infinite or NaN, as in numpy, and raises nothing.
    """
    try:
        compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_REORDER)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = numba.njit(nogil=True, error_model="numpy", fastmath=_REORDER)(function)
    return cast(Callable[P, R], compiled)
