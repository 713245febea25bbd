"""The rolling median equals np.median of the window, bit for bit, whatever comes, leaves or is masked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.rolling_median import RollingMedian, Slot, gradients, median_of_window

LONG = settings(max_examples=40, deadline=None)


def oracle(frames: list[NDArray[np.uint8]], masks: list[NDArray[np.bool_] | None]) -> NDArray[np.float64]:
    """np.median over the valid gradients of each pixel, one pixel at a time; 0 where there is none."""
    values = np.stack([gradients(frame) for frame in frames]).astype(np.float64)
    height, width = frames[0].shape
    valid = np.ones(values.shape, bool)
    for index, mask in enumerate(masks):
        if mask is not None:
            valid[index, 0, :, 1:-1] = mask[:, 2:] & mask[:, :-2]
            valid[index, 1, 1:-1] = mask[2:] & mask[:-2]
    out = np.zeros((2, height, width))
    for place in np.ndindex(out.shape):
        kept = values[(slice(None), *place)][valid[(slice(None), *place)]]
        out[place] = np.median(kept) if kept.size else 0.0
    out[0, :, [0, -1]] = out[1, [0, -1]] = 0.0
    return out


@LONG
@given(
    w=st.integers(1, 40), n=st.integers(1, 90), height=st.integers(3, 7), width=st.integers(3, 9),
    levels=st.sampled_from([2, 5, 256]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_every_window_equals_a_sort_while_it_fills_and_after(
    w: int, n: int, height: int, width: int, levels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rolling, frames = RollingMedian((height, width), np.dtype(np.uint8), w), []
    for _ in range(n):
        frames.append((rng.integers(0, levels, (height, width)) * (255 // (levels - 1))).astype(np.uint8))
        rolling.push(frames[-1])
        assert (rolling.twice_median() == 2 * median_of_window(frames[-w:])).all()


@LONG
@given(w=st.integers(1, 20), n=st.integers(1, 60), share=st.sampled_from([0.0, 0.3, 0.9]), seed=st.integers(0, 2**31))
def test_masked_pixels_do_not_count(w: int, n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rolling = RollingMedian((6, 7), np.dtype(np.uint8), w)
    frames: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.bool_] | None] = []
    for _ in range(n):
        frames.append(rng.integers(0, 256, (6, 7)).astype(np.uint8))
        masks.append(rng.random((6, 7)) < share if rng.random() < 0.6 else None)
        rolling.push(frames[-1], masks[-1])
        assert (rolling.twice_median() == 2 * oracle(frames[-w:], masks[-w:])).all()


@pytest.mark.parametrize(("dtype", "w"), [(np.uint16, 31), (np.uint16, 30), (np.uint8, 65), (np.uint8, 255)])
def test_wide_frames_and_long_windows_are_exact_too(dtype: type[np.unsignedinteger], w: int) -> None:
    rng = np.random.default_rng(w)
    most = np.iinfo(dtype).max
    rolling, frames = RollingMedian((5, 130), np.dtype(dtype), w), []
    for number in range(w + 40):
        if number % 3:
            frames.append(rng.integers(0, most + 1, (5, 130)).astype(dtype))
        else:
            frames.append((rng.integers(0, 2, (5, 130)) * most).astype(dtype))
        rolling.push(frames[-1])
        if number % 7 == 0 or number > w + 30:
            assert (rolling.twice_median() == 2 * median_of_window(frames[-w:])).all()


@settings(max_examples=25, deadline=None)
@given(
    w=st.one_of(st.sampled_from([1, 2, 30, 31, 63, 64, 65, 127, 128, 129, 254, 255]), st.integers(1, 255)),
    beyond=st.integers(0, 30), dtype=st.sampled_from([np.uint8, np.uint16]), extreme=st.booleans(),
    masked=st.sampled_from([0.0, 0.0, 0.1, 0.7]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_any_width_of_frame_length_of_window_and_mask_equals_a_sort(
    w: int, beyond: int, dtype: type[np.unsignedinteger], extreme: bool, masked: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    most, shape = int(np.iinfo(dtype).max), (4, 5)
    rolling = RollingMedian(shape, np.dtype(dtype), w)
    frames: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.bool_] | None] = []
    checked = set(rng.integers(0, w + beyond + 1, 4).tolist()) | {w - 1, w, w + beyond}
    for number in range(w + beyond + 1):
        levels = rng.integers(0, 2, shape) * most if extreme else rng.integers(0, most + 1, shape)
        frames.append(levels.astype(dtype))
        masks.append(rng.random(shape) >= masked if masked and rng.random() < 0.6 else None)
        rolling.push(frames[-1], masks[-1])
        if number in checked:
            assert (rolling.twice_median() == 2 * oracle(frames[-w:], masks[-w:])).all()


def test_frames_larger_than_a_segment_are_exact_across_its_seams() -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (70, 300)).astype(np.uint8) for _ in range(9)]
    rolling = RollingMedian((70, 300), np.dtype(np.uint8), 5)
    for frame in frames:
        rolling.push(frame)
    assert (rolling.twice_median() == 2 * median_of_window(frames[-5:])).all()


def test_a_reloaded_window_goes_on_as_if_it_had_never_been_saved() -> None:
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 256, (8, 9)).astype(np.uint8) for _ in range(40)]
    kept = RollingMedian((8, 9), np.dtype(np.uint8), 7)
    for frame in frames[:23]:
        kept.push(frame)
    again = RollingMedian((8, 9), np.dtype(np.uint8), 7)
    again.restore({slot: kept.slot(slot) for slot in kept.slots()}, kept.next_slot)
    assert (again.twice_median() == kept.twice_median()).all()
    for frame in frames[23:]:
        kept.push(frame)
        again.push(frame)
        assert again.last_slot == kept.last_slot
        assert (again.twice_median() == kept.twice_median()).all()


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="w must be 1 to 255"):
        RollingMedian((8, 8), np.dtype(np.uint8), 256)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        RollingMedian((8, 8), np.dtype(np.float32), 5)
    window = RollingMedian((8, 8), np.dtype(np.uint8), 5)
    with pytest.raises(ValueError, match="does not fit a window"):
        window.push(np.zeros((8, 9), np.uint8))
    with pytest.raises(ValueError, match="cannot be loaded"):
        window.restore({1: Slot(np.zeros((8, 8), np.uint8))}, 0)
