"""Trying a layout on pictures: our reader beside the reference reader. A field they disagree on is not trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.cnocr_reader import CnOcrReader
from pipeline.field_reader import FieldReader
from pipeline.field_text import fold_signs, parse_field
from schemas.layout import Layout, LayoutField
from schemas.verdict import FieldStatus

Grey = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class FieldTrial:
    """How one field went over `n` pictures: read, abstained, or read differently from CnOCR (`examples` of that)."""

    name: str
    n: int
    n_read: int
    n_agree: int
    n_disagree: int
    examples: tuple[str, ...]

    def text(self) -> str:
        """One line for people."""
        told = f"{self.name}: {self.n_read} of {self.n} read, {self.n_agree} as CnOCR reads them"
        return told + (f"; {self.n_disagree} differ: {', '.join(self.examples)}" if self.n_disagree else "")


def try_layout(
    reader: FieldReader, greys: Sequence[Grey], reference: CnOcrReader, progress: Progress
) -> list[FieldTrial]:
    """Every field of every picture by both readers.

    They disagree when both give a number in the field's format and the numbers differ; a text that CnOCR itself
    does not read as such a number says nothing against ours.
    """
    layout = reader.layout
    lines: list[list[str]] = [[] for _ in layout.fields]
    examples: list[list[str]] = [[] for _ in layout.fields]
    n_read = [0] * len(layout.fields)
    n_agree = [0] * len(layout.fields)
    for done, grey in enumerate(greys):
        values = reader.read(grey).values
        theirs = reference.read_many([window_of(grey, field) for field in layout.fields])
        for i, (field, value, (text, _)) in enumerate(zip(layout.fields, values, theirs, strict=True)):
            lines[i].append(text)
            if value.status not in (FieldStatus.READ, FieldStatus.OUT_OF_RANGE) or value.value is None:
                continue
            n_read[i] += 1
            other = parse_field(fold_signs(text), field)
            if other.value == value.value:
                n_agree[i] += 1
            elif other.value is not None:
                examples[i].append(f"{value.value:g} against {text!r}" if isinstance(value.value, float) else text)
        progress("reading", done + 1, len(greys))
    return [
        FieldTrial(field.name, len(greys), n_read[i], n_agree[i], len(examples[i]), tuple(examples[i][:3]))
        for i, field in enumerate(layout.fields)
    ]


def distrust(layout: Layout, trials: Sequence[FieldTrial]) -> Layout:
    """The layout with `trusted` false for every field on which the readers disagreed."""
    wrong = {trial.name for trial in trials if trial.n_disagree}
    fields = tuple(
        field.model_copy(update={"trusted": False}) if field.name in wrong else field for field in layout.fields
    )
    return layout.model_copy(update={"fields": fields})


def window_of(grey: Grey, field: LayoutField) -> Grey:
    """The part of a picture that shows a field's value."""
    x, y, w, h = field.value_px
    return np.ascontiguousarray(grey[y : y + h, x : x + w])
