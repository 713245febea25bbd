"""Numba kernels of the rolling median of gradients: one order-statistic step per pixel, no sort.

Every value in a window is made distinct: ``key = (gradient << shift) + slot``. The kernels keep the key(s) in
the middle of each pixel's window. When a key leaves and another comes, the middle moves by one element at most,
so a *cut* between two elements can be chosen from what is known (`choose`), and the two elements around the cut
are the smallest key at or above it and the largest below: one unsigned minimum and one maximum over the window
(`scan`), read from the frames themselves. `settle_*` turn them into the new middle.

Frames are flattened to (H * W,); an axis is a distance, 1 for x and W for y, so a gradient is the pixel that far
ahead (p) minus the one that far behind (q). Lanes are int16 or int32: a key minus a cut must fit
(`RollingMedian` chooses). What changes when pixels are masked is in `masked_median_kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel
from pipeline.lanes import add, bits_or, bits_xor, shift_left, signed, subtract, unsigned

Pixels = NDArray[Any]
Keys = NDArray[Any]

SEGMENT_PX = 8192
"""Pixels worked on at a time: their scratch stays in the second-level cache."""
GROUP_SLOTS = 8


@kernel
def choose(
    new_p: Pixels, new_q: Pixels, old_p: Pixels, old_q: Pixels, lo: Keys, hi: Keys, cut: Keys, pick: Keys,
    up: Keys, dn: Keys, n_old: int, full: bool, slot: int, shift: int,
) -> bool:  # fmt: skip
    """Write the `cut` of each pixel, and 1 in `pick` where its middle lies below the cut.

    Args: new_*, old_*: the frame that comes and the one that leaves; lo, hi: the middle keys (pass `lo` twice when
        the old count is odd); up, dn: unsigned, made ready for `scan`.
    Returns: whether any pixel's window changed.
    """
    lane = lo.dtype.type
    n_new = n_old if full else n_old + 1
    one, zero = lane(1), lane(0)
    n_low, n_upto, n_high = lane((n_old - 1) // 2), lane((n_old - 1) // 2 + 1), lane(n_old // 2)
    want, odd = lane(n_new // 2), lane(n_new & 1)
    gone = lane(1 if full else 0)
    sh, sl = lane(shift), lane(slot)
    farthest = up.dtype.type(-1)
    changed = zero
    for i in range(lo.shape[0]):
        b = add(shift_left(subtract(lane(new_p[i]), lane(new_q[i])), sh), sl)
        a = add(shift_left(subtract(lane(old_p[i]), lane(old_q[i])), sh), sl)
        low, high = lo[i], hi[i]
        changed = bits_or(changed, bits_xor(a, b))
        below_low = add(subtract(n_low, gone if a < low else zero), one if b < low else zero)
        upto_low = add(subtract(n_upto, gone if a <= low else zero), one if b <= low else zero)
        below_high = add(subtract(n_high, gone if a < high else zero), one if b < high else zero)
        c = low if odd != zero else add(high, one)
        c = high if below_high == want else c
        c = add(low, one) if upto_low == want else c
        cut[i] = low if below_low == want else c
        found = (below_low == want) | (upto_low == want) | (below_high == want)
        pick[i] = zero if found else odd
        up[i], dn[i] = farthest, 0
    return changed != 0 or not full


@kernel
def scan(
    frames: Pixels, slots: NDArray[np.int64], p: int, q: int, shift: int, cut: Keys, up: Keys, dn: Keys
) -> None:  # fmt: skip
    """Lower `up` and raise `dn` to the keys, relative to `cut`, of the eight frames in `slots`."""
    lane = cut.dtype.type
    n = cut.shape[0]
    sh = lane(shift)
    p0, q0 = frames[slots[0], p : p + n], frames[slots[0], q : q + n]
    p1, q1 = frames[slots[1], p : p + n], frames[slots[1], q : q + n]
    p2, q2 = frames[slots[2], p : p + n], frames[slots[2], q : q + n]
    p3, q3 = frames[slots[3], p : p + n], frames[slots[3], q : q + n]
    p4, q4 = frames[slots[4], p : p + n], frames[slots[4], q : q + n]
    p5, q5 = frames[slots[5], p : p + n], frames[slots[5], q : q + n]
    p6, q6 = frames[slots[6], p : p + n], frames[slots[6], q : q + n]
    p7, q7 = frames[slots[7], p : p + n], frames[slots[7], q : q + n]
    s0, s1, s2, s3 = lane(slots[0]), lane(slots[1]), lane(slots[2]), lane(slots[3])
    s4, s5, s6, s7 = lane(slots[4]), lane(slots[5]), lane(slots[6]), lane(slots[7])
    for i in range(n):
        c, u, v = cut[i], up[i], dn[i]
        t = unsigned(subtract(shift_left(subtract(lane(p0[i]), lane(q0[i])), sh), subtract(c, s0)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p1[i]), lane(q1[i])), sh), subtract(c, s1)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p2[i]), lane(q2[i])), sh), subtract(c, s2)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p3[i]), lane(q3[i])), sh), subtract(c, s3)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p4[i]), lane(q4[i])), sh), subtract(c, s4)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p5[i]), lane(q5[i])), sh), subtract(c, s5)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p6[i]), lane(q6[i])), sh), subtract(c, s6)))
        u, v = (t if t < u else u), (t if t > v else v)
        t = unsigned(subtract(shift_left(subtract(lane(p7[i]), lane(q7[i])), sh), subtract(c, s7)))
        up[i], dn[i] = (t if t < u else u), (t if t > v else v)


@kernel
def settle_odd(cut: Keys, pick: Keys, up: Keys, dn: Keys, lo: Keys) -> None:
    """Turn the elements around each cut into the middle key of an odd count."""
    for i in range(lo.shape[0]):
        lo[i] = add(cut[i], signed(dn[i] if pick[i] != 0 else up[i]))


@kernel
def settle_even(cut: Keys, up: Keys, dn: Keys, lo: Keys, hi: Keys) -> None:
    """Turn the elements around each cut into the two middle keys of an even count."""
    for i in range(lo.shape[0]):
        lo[i] = add(cut[i], signed(dn[i]))
        hi[i] = add(cut[i], signed(up[i]))


@kernel
def advance_segment(
    frames: Pixels, old: Pixels, n_old: int, full: bool, slot: int, ahead: int, start: int, stop: int, shift: int,
    lo: Keys, hi: Keys, scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """One frame's step for the pixels [start, stop) of one axis (`ahead` = 1 for x, W for y)."""
    n = n_old if full else n_old + 1
    m = stop - start
    cut, pick, up, dn = scratch[0, :m], scratch[1, :m], reach[0, :m], reach[1, :m]
    low, high = lo[start:stop], hi[start:stop]
    p, q = start + ahead, start - ahead
    if not choose(
        frames[slot, p : p + m], frames[slot, q : q + m], old[p : p + m], old[q : q + m], low,
        high if n_old % 2 == 0 else low, cut, pick, up, dn, n_old, full, slot, shift,
    ):  # fmt: skip
        return
    slots = np.empty(GROUP_SLOTS, np.int64)
    for first in range(0, n, GROUP_SLOTS):
        for k in range(GROUP_SLOTS):
            slots[k] = min(first + k, n - 1)
        scan(frames, slots, p, q, shift, cut, up, dn)
    if n % 2 == 1:
        settle_odd(cut, pick, up, dn, low)
    else:
        settle_even(cut, up, dn, low, high)


@kernel
def advance(
    frames: Pixels, old: Pixels, n_old: int, full: bool, slot: int, width: int, shift: int, lo: Keys, hi: Keys,
    scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """Bring lo, hi (2, H * W) from the window before to the one with frame `slot` in the place of `old`.

    `hi` is kept only while the count is even; when it is odd both are `lo`. Args: scratch, reach: (2, SEGMENT_PX).
    """
    n_px = lo.shape[1]
    for start in range(0, n_px, SEGMENT_PX):
        stop = min(start + SEGMENT_PX, n_px)
        for axis in range(2):
            ahead = width if axis else 1
            first, last = max(start, ahead), min(stop, n_px - ahead)
            if last > first:
                advance_segment(
                    frames, old, n_old, full, slot, ahead, first, last, shift, lo[axis], hi[axis], scratch, reach
                )
