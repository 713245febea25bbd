"""CTC decoding against a count over every path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engines.ctc_kernel import decode_lines


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """A path without repeats, then without blanks."""
    return tuple(c for c, _ in itertools.groupby(path) if c != 0)


@pytest.mark.parametrize("seed", range(6))
def test_the_probability_of_a_text_is_the_sum_over_every_path_that_spells_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_classes, steps = 3, 6
    logits = rng.normal(0, 1.5, (2, n_classes, steps))
    logs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    labels, lengths, probabilities = decode_lines(logs)
    for line in range(2):
        text = tuple(int(c) for c in labels[line, : lengths[line]])
        assert text == collapsed(tuple(int(c) for c in logs[line].argmax(axis=0)))
        total = sum(
            float(np.exp(sum(logs[line, c, t] for t, c in enumerate(path))))
            for path in itertools.product(range(n_classes), repeat=steps)
            if collapsed(path) == text
        )
        assert probabilities[line] == pytest.approx(total, rel=1e-5)


def test_an_empty_line_has_the_probability_of_blanks() -> None:
    logs = np.log(np.full((1, 4, 5), 0.1, np.float32))
    logs[:, 0] = np.log(0.7)
    _, lengths, probabilities = decode_lines(logs)
    assert lengths[0] == 0 and probabilities[0] == pytest.approx(0.7**5, rel=1e-5)
