"""Reading a frame's printed machine parameters: fixed places, our reader, checks. The same frame, the same answer."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.bundle import LAYOUT, LAYOUT_PICTURE, READER, Bundle
from engines.line_crop import CROP_HEIGHT_PX, LineBox, crop_line
from engines.reader import Reader, ReadText
from pipeline.field_anchor import Anchors
from pipeline.field_plausibility import DIGITAL, hold_relations, with_digital
from pipeline.field_text import parse_field
from pipeline.field_value import FieldValue
from schemas.errors import SetupError
from schemas.frame import Parameter
from schemas.layout import Layout, LayoutField, decode_layout
from schemas.verdict import FieldReading, FieldStatus

_WIDTH_STEP_PX = 16
_MOST_CACHED = 4096
_LEAST_CONTRAST = 30
"""Grey levels between print and ground; an even crop says nothing."""
_EDGE_SHARE = 0.5
"""Ink at the left or right edge of a crop, as a share of its contrast: the print goes on outside."""


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The fields of one frame, in the layout's order, then digital ones without a place in it.

    `too_few`: a smaller share of the fields is known than the layout asks for; `detail`: why each unknown one is, for
    people; `n_cached` lines were known; `read_ms` None when none were looked for.
    """

    values: tuple[FieldValue, ...]
    too_few: bool
    detail: str
    n_cached: int
    read_ms: float | None

    def readings(self) -> tuple[FieldReading, ...]:
        """As the verdict publishes them."""
        return tuple(value.reading() for value in self.values)


class FieldReader:
    """A layout and a loaded reader. Not for two threads at once."""

    def __init__(self, layout: Layout, reference: NDArray[np.uint8], reader: Reader) -> None:
        """Args: reference: (H, W) uint8, the layout's picture. Raises: SetupError when they do not belong together."""
        self.layout, self.reference = layout, reference
        self._anchors = Anchors.build(layout, reference)
        self._reader = reader
        self._boxes = [line_box(field) for field in layout.fields]
        widest = max(box.crop_width_px for box in self._boxes)
        self._widths = [min(box.crop_width_px, widest) for box in self._boxes]
        self._crops = np.empty(
            (len(self._boxes), CROP_HEIGHT_PX, -(-widest // _WIDTH_STEP_PX) * _WIDTH_STEP_PX), np.uint8
        )
        self._known: OrderedDict[bytes, ReadText] = OrderedDict()

    @classmethod
    def of_bundle(cls, bundle: Bundle, n_threads: int = 1) -> FieldReader | None:
        """The reader a bundle carries; None when it carries none. Raises: SetupError when it is incomplete."""
        if LAYOUT not in bundle.members:
            return None
        absent = [name for name in (LAYOUT_PICTURE, READER) if name not in bundle.members]
        if absent:
            raise SetupError(f"the bundle has {LAYOUT} but not {', '.join(absent)}; train it again with --fields")
        picture = cv2.imdecode(np.frombuffer(bundle.members[LAYOUT_PICTURE], np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise SetupError(f"bundle member {LAYOUT_PICTURE} is not a picture; train it again with --fields")
        layout = decode_layout(bundle.members[LAYOUT], LAYOUT)
        return cls(layout, np.asarray(picture, np.uint8), Reader.load(bundle.members[READER], n_threads))

    def read(self, grey: NDArray[np.uint8], parameters: Mapping[str, Parameter] | None = None) -> FieldsRead:
        """Read every field.

        Args: grey: (H, W) uint8 as sent. parameters: known digitally; they win.
        Raises: EngineFault when the backend fails.
        """
        start = time.perf_counter()
        height, width = grey.shape
        if (width, height) != self.layout.frame_size_px:
            detail = "the frame is {}x{} px, the layout's {}x{}".format(width, height, *self.layout.frame_size_px)
            values, n_cached = [_abstained(field, detail) for field in self.layout.fields], 0
        else:
            values, n_cached = self._read_printed(np.ascontiguousarray(grey))
        merged = with_digital(hold_relations(values, self.layout), self.layout, parameters or {})
        own = merged[: len(self.layout.fields)]
        share = sum(value.value is not None for value in own) / len(own)
        detail = "; ".join(f"{value.name}: {value.detail}" for value in own if value.value is None)
        took_ms = 1000 * (time.perf_counter() - start)
        return FieldsRead(tuple(merged), share < self.layout.least_read, detail, n_cached, took_ms)

    def forget(self) -> None:
        """Forget the lines that were read: for measuring."""
        self._known.clear()

    def texts(self, grey: NDArray[np.uint8]) -> list[ReadText]:
        """What every place of the layout says, unchecked: for comparing readers. `grey` has the layout's size."""
        anchored = self._anchors.find(grey)
        self._crop(grey, anchored.dx_px, anchored.dy_px)
        return self._read_lines()[0]

    def _read_printed(self, grey: NDArray[np.uint8]) -> tuple[list[FieldValue], int]:
        anchored = self._anchors.find(grey)
        self._crop(grey, anchored.dx_px, anchored.dy_px)
        texts, n_cached = self._read_lines()
        contrast, cut = self._look()
        fits = float(np.mean(anchored.found)) > 0.5
        values = []
        for i, field in enumerate(self.layout.fields):
            if not fits:
                value = _abstained(field, "the layout does not fit this frame")
            elif not anchored.found[i]:
                value = _abstained(field, f"the name is not where the layout has it ({anchored.correlations[i]:.2f})")
            elif contrast[i] < _LEAST_CONTRAST:
                value = FieldValue(field.name, None, field.unit or None, 1.0, FieldStatus.MISSING, "nothing is printed")
            else:
                value = judge_text(texts[i], field, self.layout.least_confidence, cut=bool(cut[i]))
            values.append(value)
        return values, n_cached

    def _crop(self, grey: NDArray[np.uint8], dx_px: int, dy_px: int) -> None:
        for box, out in zip(self._boxes, self._crops, strict=True):
            crop_line(grey, box, out, dx_px, dy_px)

    def _read_lines(self) -> tuple[list[ReadText], int]:
        """The text in every crop; a crop seen before, byte for byte, is answered from memory."""
        keys = [crop.tobytes() for crop in self._crops]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            for i, text in zip(new, self._reader.read(self._crops[new]), strict=True):
                self._known[keys[i]] = text
        texts = [self._known[key] for key in keys]
        for key in keys:
            self._known.move_to_end(key)
        while len(self._known) > max(_MOST_CACHED, len(keys)):
            self._known.popitem(last=False)
        return texts, len(keys) - len(new)

    def _look(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(n,) contrast in grey levels of every crop, and whether print touches its left or right edge."""
        middle = self._crops[:, 3:-3].max(axis=1).astype(np.int64)
        lowest = self._crops.min(axis=(1, 2)).astype(np.int64)
        contrast = middle.max(axis=1) - lowest
        limit = lowest + (_EDGE_SHARE * contrast).astype(np.int64)
        left = middle[:, 0]
        right = middle[np.arange(len(middle)), np.array(self._widths) - 1]
        return contrast, (left > limit) | (right > limit)


def line_box(field: LayoutField) -> LineBox:
    """Where the reader looks for a field's number and unit."""
    x, _, w, _ = field.value_px
    top, bottom = field.digits_px
    return LineBox(float(x), top, float(x + w), bottom, field.dark_ink)


def judge_text(text: ReadText, field: LayoutField, least_confidence: float, *, cut: bool = False) -> FieldValue:
    """The value a text gives a field, or why none."""
    if not field.trusted:
        return replace(_abstained(field, "the layout does not trust this field"), confidence=text.probability)
    if cut:
        return replace(
            _abstained(field, f"print reaches over the edge of the field: {text.text!r}"), confidence=text.probability
        )
    if text.probability < least_confidence:
        return replace(_abstained(field, f"unsure of {text.text!r}"), confidence=text.probability)
    parsed = parse_field(text.text, field)
    return FieldValue(field.name, parsed.value, field.unit or None, text.probability, parsed.status, parsed.detail)


def _abstained(field: LayoutField, detail: str) -> FieldValue:
    return FieldValue(field.name, None, field.unit or None, 0.0, FieldStatus.ABSTAINED, detail)


def digital_fields(parameters: Mapping[str, Parameter]) -> FieldsRead:
    """What is known of a product without a layout: its digital parameters, as they are."""
    values = (
        FieldValue(name, each.value, each.unit, 1.0, FieldStatus.READ, DIGITAL) for name, each in parameters.items()
    )
    return FieldsRead(tuple(values), False, "", 0, None)
