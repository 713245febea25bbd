"""Numba kernels of the rolling median of gradients: one order-statistic step per pixel, no sort.

Every value in a window is made distinct: ``key = (gradient << shift) + slot``. The kernels keep the key(s) in
the middle of each pixel's window. When a key leaves and another comes, the middle moves by one element at most,
so a *cut* between two elements can be chosen from what is known (`choose`), and the two elements around the cut
are the smallest key at or above it and the largest below: one unsigned minimum and one maximum over the window
(`scan8`), read from the frames themselves. `settle` turns them into the new middle.

Frames are flattened to (H * W,); an axis is a distance, 1 for x and W for y. Lanes are int16 or int32: a key
minus a cut must fit (`RollingMedian` chooses).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

Pixels = NDArray[Any]
Keys = NDArray[Any]

SEGMENT_PX = 512


@kernel
def choose(
    bp: Pixels, bq: Pixels, ap: Pixels, aq: Pixels, lo: Keys, hi: Keys,
    cut: Keys, pick: Keys, up: Keys, dn: Keys, n_old: int, full: bool, slot: int, shift: int,
) -> bool:  # fmt: skip
    """Write the cut of each pixel of a segment, and `pick` = 1 where its middle lies below the cut.

    Args: bp, bq: the new frame ahead and behind; ap, aq: the frame that leaves; lo, hi: the middle keys.
    Returns: whether any pixel's window changed.
    """
    lane = lo.dtype.type
    half_lo = lane((n_old - 1) // 2)
    half_hi = lane(n_old // 2)
    n_new = n_old if full else n_old + 1
    want = lane(n_new // 2)
    one = lane(1)
    zero = lane(0)
    odd = lane(n_new & 1)
    gone = lane(1 if full else 0)
    sh = lane(shift)
    sl = lane(slot)
    farthest = up.dtype.type(-1)
    changed = zero
    for i in range(lo.shape[0]):
        b = lane(lane((lane(bp[i]) - lane(bq[i])) << sh) + sl)
        a = lane(lane((lane(ap[i]) - lane(aq[i])) << sh) + sl)
        low = lo[i]
        high = hi[i]
        changed |= lane(a ^ b)
        below_low = lane(half_lo - (gone if a < low else zero) + (one if b < low else zero))
        upto_low = lane(half_lo + one - (gone if a <= low else zero) + (one if b <= low else zero))
        below_high = lane(half_hi - (gone if a < high else zero) + (one if b < high else zero))
        c = low if odd else lane(high + one)
        k = odd
        c = high if below_high == want else c
        k = zero if below_high == want else k
        c = lane(low + one) if upto_low == want else c
        k = zero if upto_low == want else k
        c = low if below_low == want else c
        k = zero if below_low == want else k
        cut[i] = c
        pick[i] = k
        up[i] = farthest
        dn[i] = 0
    return changed != 0 or not full


@kernel
def scan8(
    p0: Pixels, q0: Pixels, p1: Pixels, q1: Pixels, p2: Pixels, q2: Pixels, p3: Pixels, q3: Pixels,
    p4: Pixels, q4: Pixels, p5: Pixels, q5: Pixels, p6: Pixels, q6: Pixels, p7: Pixels, q7: Pixels,
    slots: NDArray[np.int64], shift: int, cut: Keys, up: Keys, dn: Keys,
) -> None:  # fmt: skip
    """Lower `up` and raise `dn` by the keys of eight frames, ahead (p) and behind (q), relative to `cut`."""
    lane = cut.dtype.type
    apart = up.dtype.type
    sh = lane(shift)
    s0, s1, s2, s3 = lane(slots[0]), lane(slots[1]), lane(slots[2]), lane(slots[3])
    s4, s5, s6, s7 = lane(slots[4]), lane(slots[5]), lane(slots[6]), lane(slots[7])
    for i in range(cut.shape[0]):
        c = cut[i]
        u = up[i]
        v = dn[i]
        t = apart(lane(lane((lane(p0[i]) - lane(q0[i])) << sh) + s0) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p1[i]) - lane(q1[i])) << sh) + s1) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p2[i]) - lane(q2[i])) << sh) + s2) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p3[i]) - lane(q3[i])) << sh) + s3) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p4[i]) - lane(q4[i])) << sh) + s4) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p5[i]) - lane(q5[i])) << sh) + s5) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p6[i]) - lane(q6[i])) << sh) + s6) - c)
        u = t if t < u else u
        v = t if t > v else v
        t = apart(lane(lane((lane(p7[i]) - lane(q7[i])) << sh) + s7) - c)
        u = t if t < u else u
        v = t if t > v else v
        up[i] = u
        dn[i] = v


@kernel
def settle(cut: Keys, up: Keys, dn: Keys, pick: Keys, lo: Keys, hi: Keys, odd: bool) -> None:
    """Turn the elements around each cut into the middle keys `lo`, `hi` (equal when the count is odd)."""
    lane = cut.dtype.type
    apart = up.dtype.type
    if odd:
        for i in range(cut.shape[0]):
            x = lane(apart(cut[i]) + (dn[i] if pick[i] != 0 else up[i]))
            lo[i] = x
            hi[i] = x
    else:
        for i in range(cut.shape[0]):
            lo[i] = lane(apart(cut[i]) + dn[i])
            hi[i] = lane(apart(cut[i]) + up[i])


@kernel
def advance_segment(
    frames: Pixels, old: Pixels, n_old: int, full: bool, slot: int, ahead: int, start: int, stop: int,
    shift: int, lo: Keys, hi: Keys, scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """One frame's step for the pixels [start, stop) of one axis (`ahead` = 1 for x, W for y)."""
    n = n_old if full else n_old + 1
    m = stop - start
    new = frames[slot]
    cut, pick, up, dn = scratch[0, :m], scratch[1, :m], reach[0, :m], reach[1, :m]
    low, high = lo[start:stop], hi[start:stop]
    p, p_end, q, q_end = start + ahead, stop + ahead, start - ahead, stop - ahead
    if not choose(
        new[p:p_end], new[q:q_end], old[p:p_end], old[q:q_end], low, high, cut, pick, up, dn, n_old, full, slot, shift
    ):
        return
    slots = np.empty(8, np.int64)
    for first in range(0, n, 8):
        for k in range(8):
            slots[k] = min(first + k, n - 1)
        f0, f1, f2, f3 = frames[slots[0]], frames[slots[1]], frames[slots[2]], frames[slots[3]]
        f4, f5, f6, f7 = frames[slots[4]], frames[slots[5]], frames[slots[6]], frames[slots[7]]
        scan8(
            f0[p:p_end], f0[q:q_end], f1[p:p_end], f1[q:q_end], f2[p:p_end], f2[q:q_end], f3[p:p_end], f3[q:q_end],
            f4[p:p_end], f4[q:q_end], f5[p:p_end], f5[q:q_end], f6[p:p_end], f6[q:q_end], f7[p:p_end], f7[q:q_end],
            slots, shift, cut, up, dn,
        )  # fmt: skip
    settle(cut, up, dn, pick, low, high, (n & 1) == 1)


@kernel
def advance(
    frames: Pixels, old: Pixels, n_old: int, full: bool, slot: int, width: int, shift: int, lo: Keys, hi: Keys,
    scratch: Keys, reach: Keys,
) -> None:  # fmt: skip
    """Bring lo, hi (2, H * W) from the window before to the window with frame `slot` in the place of `old`."""
    n_px = frames.shape[1]
    for start in range(0, n_px, SEGMENT_PX):
        stop = min(start + SEGMENT_PX, n_px)
        first, last = max(start, 1), min(stop, n_px - 1)
        if last > first:
            advance_segment(frames, old, n_old, full, slot, 1, first, last, shift, lo[0], hi[0], scratch, reach)
        first, last = max(start, width), min(stop, n_px - width)
        if last > first:
            advance_segment(frames, old, n_old, full, slot, width, first, last, shift, lo[1], hi[1], scratch, reach)
