"""The rolling median's kernels for windows in which some frames have pixels that do not count.

The same cut and scan as in `median_kernels`, with a count per pixel and axis: a gradient counts when both of its
pixels are valid. A valid pixel is 255 in a frame's mask, any other 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel
from pipeline.lanes import (
    add,
    bits_and,
    bits_not,
    bits_or,
    bits_xor,
    shift_left,
    shift_right,
    signed,
    subtract,
    unsigned,
)
from pipeline.median_kernels import GROUP_SLOTS, SEGMENT_PX, scan

Pixels = NDArray[Any]
Keys = NDArray[Any]
Mask = NDArray[np.uint8]


@kernel
def choose_masked(
    new_p: Pixels, new_q: Pixels, old_p: Pixels, old_q: Pixels, came_p: Mask, came_q: Mask, left_p: Mask, left_q: Mask,
    lo: Keys, hi: Keys, count: Keys, cut: Keys, pick: Keys, up: Keys, dn: Keys, slot: int, shift: int,
) -> bool:  # fmt: skip
    """`choose`, and bring `count` up to date. Args: came_*, left_*: the masks of the new and the old frame."""
    lane = lo.dtype.type
    one, zero = lane(1), lane(0)
    sh, sl = lane(shift), lane(slot)
    farthest = up.dtype.type(-1)
    changed = zero
    for i in range(lo.shape[0]):
        b = add(shift_left(subtract(lane(new_p[i]), lane(new_q[i])), sh), sl)
        a = add(shift_left(subtract(lane(old_p[i]), lane(old_q[i])), sh), sl)
        came = bits_and(bits_and(lane(came_p[i]), lane(came_q[i])), one)
        gone = bits_and(bits_and(lane(left_p[i]), lane(left_q[i])), one)
        low, high, n_old = lo[i], hi[i], count[i]
        n_new = add(subtract(n_old, gone), came)
        n_low, n_high = shift_right(subtract(n_old, one), one), shift_right(n_old, one)
        want, odd = shift_right(n_new, one), bits_and(n_new, one)
        changed = bits_or(changed, bits_or(bits_xor(came, gone), bits_xor(a, b) if came != zero else zero))
        below_low = add(subtract(n_low, gone if a < low else zero), came if b < low else zero)
        upto_low = add(subtract(add(n_low, one), gone if a <= low else zero), came if b <= low else zero)
        below_high = add(subtract(n_high, gone if a < high else zero), came if b < high else zero)
        c = low if odd != zero else add(high, one)
        c = high if below_high == want else c
        c = add(low, one) if upto_low == want else c
        cut[i] = low if below_low == want else c
        found = (below_low == want) | (upto_low == want) | (below_high == want)
        pick[i] = zero if found else odd
        count[i] = n_new
        up[i], dn[i] = farthest, 0
    return bool(changed != 0)


@kernel
def scan_masked(
    frame: Pixels, mask: Mask, slot: int, p: int, q: int, shift: int, cut: Keys, up: Keys, dn: Keys
) -> None:  # fmt: skip
    """Lower `up` and raise `dn` to the keys, relative to `cut`, of the valid pixels of one frame."""
    lane = cut.dtype.type
    n = cut.shape[0]
    sh, sl, zero = lane(shift), lane(slot), lane(0)
    frame_p, frame_q, mask_p, mask_q = frame[p : p + n], frame[q : q + n], mask[p : p + n], mask[q : q + n]
    for i in range(n):
        t = subtract(shift_left(subtract(lane(frame_p[i]), lane(frame_q[i])), sh), subtract(cut[i], sl))
        counts = subtract(zero, bits_and(bits_and(lane(mask_p[i]), lane(mask_q[i])), lane(1)))
        above, below = unsigned(bits_or(t, bits_not(counts))), unsigned(bits_and(t, counts))
        up[i] = above if above < up[i] else up[i]
        dn[i] = below if below > dn[i] else dn[i]


@kernel
def settle_masked(cut: Keys, pick: Keys, up: Keys, dn: Keys, count: Keys, lo: Keys, hi: Keys) -> None:
    """Turn the elements around each cut into the middle keys; equal where the count is odd, 0 where it is 0."""
    lane = lo.dtype.type
    for i in range(lo.shape[0]):
        below, above = add(cut[i], signed(dn[i])), add(cut[i], signed(up[i]))
        middle = below if pick[i] != 0 else above
        odd, none = bits_and(count[i], lane(1)) != 0, count[i] == 0
        lo[i] = lane(0) if none else (middle if odd else below)
        hi[i] = lane(0) if none else (middle if odd else above)


@kernel
def advance_segment_masked(
    frames: Pixels, masks: Mask, masked: Mask, old: Pixels, left: Mask, n_slots: int, slot: int, ahead: int, start: int,
    stop: int, shift: int, lo: Keys, hi: Keys, count: Keys, scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """`advance_segment` with masks (w, H * W); `masked` (w,) says which frames have one that is not all valid."""
    m = stop - start
    cut, pick, up, dn = scratch[0, :m], scratch[1, :m], reach[0, :m], reach[1, :m]
    low, high, counts = lo[start:stop], hi[start:stop], count[start:stop]
    p, q = start + ahead, start - ahead
    if not choose_masked(
        frames[slot, p : p + m], frames[slot, q : q + m], old[p : p + m], old[q : q + m], masks[slot, p : p + m],
        masks[slot, q : q + m], left[p : p + m], left[q : q + m], low, high, counts, cut, pick, up, dn, slot, shift,
    ):  # fmt: skip
        return
    slots = np.empty(GROUP_SLOTS, np.int64)
    held = 0
    last = -1
    for s in range(n_slots):
        if masked[s]:
            scan_masked(frames[s], masks[s], s, p, q, shift, cut, up, dn)
            continue
        slots[held] = s
        last = s
        held += 1
        if held == GROUP_SLOTS:
            scan(frames, slots, p, q, shift, cut, up, dn)
            held = 0
    if held:
        slots[held:] = last
        scan(frames, slots, p, q, shift, cut, up, dn)
    settle_masked(cut, pick, up, dn, counts, low, high)


@kernel
def advance_masked(
    frames: Pixels, masks: Mask, masked: Mask, old: Pixels, left: Mask, n_slots: int, slot: int, width: int, shift: int,
    lo: Keys, hi: Keys, count: Keys, scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """`advance` with masks. Args: left: mask of the frame that leaves, all 0 when none does; count: (2, H * W)."""
    n_px = lo.shape[1]
    for start in range(0, n_px, SEGMENT_PX):
        stop = min(start + SEGMENT_PX, n_px)
        for axis in range(2):
            ahead = width if axis else 1
            first, last = max(start, ahead), min(stop, n_px - ahead)
            if last > first:
                advance_segment_masked(
                    frames, masks, masked, old, left, n_slots, slot, ahead, first, last, shift, lo[axis], hi[axis],
                    count[axis], scratch, reach,
                )  # fmt: skip
