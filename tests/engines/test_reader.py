"""The shipped reader on text that was never rendered before."""

from __future__ import annotations

import numpy as np
import pytest

from engines.lettering import TextStyle, draw_text
from engines.line_crop import CROP_HEIGHT_PX, LineBox, crop_line
from engines.reader import Reader, default_model, labels_of, text_of
from engines.reader_lines import TAUGHT_FACES, Camera, digit_edges, random_line
from engines.reader_net import load_weights, reader_onnx
from engines.reader_training import save_weights
from schemas.errors import SetupError


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(default_model())


def line_of(text: str, style: TextStyle, camera: Camera | None = None, seed: int = 0) -> np.ndarray:
    """`text` in light grey on dark, as the reader is given it."""
    ink = np.pad(draw_text(text, style), ((4, 4), (3, 6)))
    top, bottom = digit_edges(style)
    seen = (camera or Camera()).expose(40 + 170 * ink, np.random.default_rng(seed))
    out = np.empty((CROP_HEIGHT_PX, 112), np.uint8)
    crop_line(seen, LineBox(0, top + 4, seen.shape[1], bottom + 4), out)
    return out


@pytest.mark.parametrize("face", TAUGHT_FACES)
def test_numbers_with_units_are_read_in_every_taught_typeface(face: str, reader: Reader) -> None:
    texts = ["35.8 gf", "-0.12 deg", "149.3 °C", "+0.5 um", "1.244 V", "97.4 %", "118 mW", "0.00"]
    for size in (13.0, 16.0, 24.0):
        read = reader.read(np.stack([line_of(text, TextStyle(face, size)) for text in texts]))
        right = [each.text == text.replace(" ", "") for each, text in zip(read, texts, strict=True)]
        assert sum(right) >= len(texts) - 1, [each.text for each in read]


def test_every_digit_is_told_from_every_other_under_jpeg_60(reader: Reader) -> None:
    texts = [f"{digit}{digit}.{digit}" for digit in range(10)]
    camera = Camera(jpeg_quality=60)
    read = reader.read(np.stack([line_of(text, TextStyle("roboto", 16.0), camera) for text in texts]))
    assert [each.text for each in read] == texts


def test_a_line_reads_the_same_alone_and_among_others(reader: Reader) -> None:
    rng = np.random.default_rng(5)
    crops = np.stack([random_line(rng, 96)[0] for _ in range(12)])
    together = reader.read(crops)
    for crop, expected in zip(crops, together, strict=True):
        alone = reader.read(crop[None])[0]
        assert alone.text == expected.text and alone.probability == pytest.approx(expected.probability, abs=1e-5)


def test_an_empty_line_says_nothing_and_what_cannot_be_read_is_unsure(reader: Reader) -> None:
    rng = np.random.default_rng(3)
    empty = np.full((1, CROP_HEIGHT_PX, 96), 30, np.uint8)
    assert reader.read(empty)[0].text == ""
    blurred = line_of("888.8", TextStyle("dejavu-sans", 13.0), Camera(blur_px=4.0, noise=25.0))
    garbage = rng.integers(0, 255, (20, CROP_HEIGHT_PX, 96), np.uint8)
    sure = [each for each in reader.read(garbage) if each.probability > 0.98 and each.text]
    assert len(sure) <= 1
    assert reader.read(blurred[None])[0].probability < 0.98
    assert reader.read(garbage[:0]) == []


def test_text_and_classes_are_each_others_inverse() -> None:
    assert text_of(labels_of("-12.5 µm")) == "-12.5µm"


def test_altered_weights_and_a_foreign_model_are_refused(tmp_path, reader: Reader) -> None:
    weights = load_weights()
    del weights["near.bias"]
    save_weights(tmp_path / "short.npz", weights)
    with pytest.raises(SetupError, match=r"near\.bias"):
        load_weights(tmp_path / "short.npz")
    with pytest.raises(SetupError, match="cannot be loaded"):
        Reader.load(b"no model")
    assert reader_onnx(load_weights()) == default_model()
