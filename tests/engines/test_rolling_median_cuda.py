"""The GPU's rolling median is the CPU's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from engines.rolling_median_cuda import CudaRollingMedian
from pipeline.gradient_map import magnitude
from pipeline.rolling_median import RollingMedian
from schemas.errors import SetupError


@contextmanager
def on_gpu(shape: tuple[int, int], dtype: type[np.unsignedinteger], w: int) -> Iterator[CudaRollingMedian]:
    try:
        window = CudaRollingMedian(shape, np.dtype(dtype), w)
    except SetupError as missing:
        pytest.skip(f"no NVIDIA GPU with pycuda: {missing}")
    try:
        yield window
    finally:
        window.close()


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "w"), [(np.uint8, 1), (np.uint8, 30), (np.uint8, 31), (np.uint8, 255), (np.uint16, 31)]
)
def test_every_window_equals_the_cpus(dtype: type[np.unsignedinteger], w: int) -> None:
    rng = np.random.default_rng(w)
    most = np.iinfo(dtype).max
    cpu = RollingMedian((37, 53), np.dtype(dtype), w)
    with on_gpu((37, 53), dtype, w) as gpu:
        for number in range(w + 40):
            frame = rng.integers(0, most + 1, (37, 53)).astype(dtype)
            if number % 3 == 0:
                frame = (rng.integers(0, 2, (37, 53)) * most).astype(dtype)
            cpu.push(frame)
            gpu.push(frame)
            assert np.array_equal(gpu.twice_median(), cpu.twice_median())
        assert np.allclose(gpu.magnitude(), magnitude(cpu.twice_median()), rtol=1e-6)


def test_frames_of_another_type_are_refused_before_a_gpu_is_asked_for() -> None:
    with pytest.raises(ValueError, match="uint8 or uint16"):
        CudaRollingMedian((8, 8), np.dtype(np.float32), 5)
