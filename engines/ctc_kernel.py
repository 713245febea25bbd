"""CTC decoding: the text on the best path, and the probability of that text over every path that spells it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

MAX_CHARACTERS = 40


@kernel
def decode_lines(
    logs: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Decode every line.

    Args: logs: (N, C, S) float32 log probabilities of classes, class 0 the blank.
    Returns: labels (N, MAX_CHARACTERS) int64, their counts (N,), and the probability of each text (N,), the sum over
        all alignments (Graves et al. 2006, eq. 5 to 8).
    """
    n, n_classes, steps = logs.shape
    labels = np.zeros((n, MAX_CHARACTERS), np.int64)
    lengths = np.zeros(n, np.int64)
    probabilities = np.zeros(n)
    states = np.zeros(2 * MAX_CHARACTERS + 1)
    following = np.zeros(2 * MAX_CHARACTERS + 1)
    for line in range(n):
        last = 0
        count = 0
        for step in range(steps):
            best = 0
            for c in range(1, n_classes):
                if logs[line, c, step] > logs[line, best, step]:
                    best = c
            if best not in (0, last) and count < MAX_CHARACTERS:
                labels[line, count] = best
                count += 1
            last = best
        lengths[line] = count
        n_states = 2 * count + 1
        states[:] = 0.0
        states[0] = np.exp(logs[line, 0, 0])
        if count:
            states[1] = np.exp(logs[line, labels[line, 0], 0])
        for step in range(1, steps):
            blank = np.exp(logs[line, 0, step])
            for state in range(n_states):
                total = states[state]
                if state > 0:
                    total += states[state - 1]
                if state % 2 == 0:
                    following[state] = total * blank
                    continue
                label = labels[line, state // 2]
                if state > 1 and label != labels[line, state // 2 - 1]:
                    total += states[state - 2]
                following[state] = total * np.exp(logs[line, label, step])
            for state in range(n_states):
                states[state] = following[state]
        probabilities[line] = states[n_states - 1] + (states[n_states - 2] if count else 0.0)
    return labels, lengths, probabilities
