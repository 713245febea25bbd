"""The two byte codecs of TIFF that Python's library lacks: LZW and PackBits (TIFF 6.0, sections 13 and 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

Bytes = NDArray[np.uint8]
TRUNCATED = -1
DAMAGED = -2
_CLEAR, _END, _FIRST = 256, 257, 258
_TABLE = 4096


@kernel
def unpack_packbits(block: Bytes, out: Bytes) -> int:
    """Fill `out` from `block`; returns the bytes written, or `TRUNCATED`."""
    at = written = 0
    while written < out.size and at < block.size:
        control = int(block[at])
        at += 1
        if control < 128:
            n = min(control + 1, out.size - written)
            if at + control + 1 > block.size:
                return TRUNCATED
            for i in range(n):
                out[written + i] = block[at + i]
            at += control + 1
        elif control > 128:
            if at >= block.size:
                return TRUNCATED
            n = min(257 - control, out.size - written)
            for i in range(n):
                out[written + i] = block[at]
            at += 1
        else:
            n = 0
        written += n
    return written


@kernel
def unpack_lzw(block: Bytes, out: Bytes) -> int:
    """Fill `out` from `block` (most significant bit first, early change); the bytes written, or a negative fault."""
    prefix, suffix = np.empty(_TABLE, np.int32), np.empty(_TABLE, np.uint8)
    length, first = np.ones(_TABLE, np.int32), np.empty(_TABLE, np.uint8)
    for code in range(256):
        prefix[code], suffix[code], first[code] = -1, code, code
    at_bit, width, n_codes, previous, written = 0, 9, _FIRST, -1, 0
    while written < out.size:
        if at_bit + width > 8 * block.size:
            return TRUNCATED
        byte, shift = at_bit >> 3, at_bit & 7
        window = 0
        for i in range(3):
            window = (window << 8) | (int(block[byte + i]) if byte + i < block.size else 0)
        code = (window >> (24 - shift - width)) & ((1 << width) - 1)
        at_bit += width
        if code == _CLEAR:
            width, n_codes, previous = 9, _FIRST, -1
            continue
        if code == _END:
            break
        if code > n_codes or (code == n_codes and previous < 0) or (previous < 0 and code > 255):
            return DAMAGED
        if previous >= 0:
            if n_codes >= _TABLE:
                return DAMAGED
            prefix[n_codes], length[n_codes], first[n_codes] = previous, length[previous] + 1, first[previous]
            suffix[n_codes] = first[code] if code < n_codes else first[previous]
            n_codes += 1
            if n_codes >= (1 << width) - 1 and width < 12:
                width += 1
        end = written + length[code]
        place, link = end, code
        while link >= 0:
            place -= 1
            if place < out.size:
                out[place] = suffix[link]
            link = prefix[link]
        written = end
        previous = code
    return min(written, out.size)
