"""Text drawn from outlines."""

from __future__ import annotations

import numpy as np
import pytest

from engines.lettering import TextStyle, draw_text, faces, text_size_px
from schemas.errors import SetupError


@pytest.mark.parametrize("face", sorted(faces()))
def test_every_face_draws_digits_that_differ_from_one_another(face: str) -> None:
    style = TextStyle(face, 16.0)
    digits = [draw_text(digit, style)[:, :16] for digit in "0123456789"]
    width = min(digit.shape[1] for digit in digits)
    for i, one in enumerate(digits):
        for other in digits[i + 1 :]:
            assert np.abs(one[:, :width] - other[:, :width]).sum() > 5


def test_text_is_antialiased_coverage_within_its_stated_size() -> None:
    style = TextStyle("roboto", 14.0, snapped=False)
    ink = draw_text("12.5 µm", style, 0.3)
    width, height = text_size_px("12.5 µm", style)
    assert ink.shape == (height, width + 1)
    assert ink.min() == 0 and ink.max() <= 1
    assert np.count_nonzero((ink > 0.1) & (ink < 0.9)) > 20


def test_a_part_of_a_pixel_moves_the_ink_by_that_much() -> None:
    style = TextStyle("roboto", 20.0, snapped=False)
    columns = np.arange(draw_text("8", style).shape[1])
    middle = [float((draw_text("8", style, at).sum(axis=0) * columns).sum() / draw_text("8", style, at).sum())
              for at in (0.0, 0.5)]  # fmt: skip
    assert middle[1] - middle[0] == pytest.approx(0.5, abs=0.05)


def test_an_unknown_character_or_face_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="漢"):
        draw_text("漢", TextStyle())
    with pytest.raises(SetupError, match="papyrus"):
        draw_text("1", TextStyle("papyrus"))
