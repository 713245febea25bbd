"""Kernels run whether or not numba finds a folder for its cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import numba
import numba.core.caching as caching

class Nowhere(caching._CacheLocator):
    @classmethod
    def from_function(cls, py_func, py_file):
        return None

impl = getattr(caching, "CacheImpl", None) or caching._CacheImpl  # numba before 0.62 has the latter
impl._locator_classes = [Nowhere]
try:
    numba.njit(cache=True)(lambda: 1)
except RuntimeError:
    pass
else:
    raise SystemExit("numba found a folder after all")
from engines.align_sampling import correlation
import numpy as np
ones = np.arange(64, dtype=np.float32)
print(round(correlation(ones, 2 * ones + 1, np.ones(64, np.float32)), 6))
"""


def test_without_a_folder_to_write_to_kernels_are_compiled_in_memory() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1.0"
