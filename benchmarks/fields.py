"""Reading printed machine parameters: our reader beside CnOCR's recogniser, on the same lines in the same run.

    sightline bench fields [--frames 3000] [--json]

Two machines print in two typefaces and two arrangements. Their layouts are found by `sightline layout`'s own code
(CnOCR's detection, extra ``ocr``). Then frames are shown under five conditions; every number is known. A line is
exact when its value is published and right, wrong when it is published and wrong, else it was abstained.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.align_refusal import upper_bound
from benchmarks.fields_calibration import calibrate
from benchmarks.fields_pictures import CONDITIONS, MACHINES, UNSEEN, Panels, Shown
from benchmarks.progress import say
from benchmarks.result import BenchResult, Json, machine
from engines.cnocr_reader import CnOcrReader
from engines.reader import Reader, default_model
from pipeline.ase_line import AseLine
from pipeline.ase_panel import PanelStyle
from pipeline.field_reader import FieldReader
from pipeline.field_text import fold_signs, parse_field
from pipeline.layout_search import find_layout
from pipeline.layout_trial import window_of
from schemas.layout import Layout
from schemas.verdict import FieldStatus

N_LAYOUT_PICTURES = 8
N_TIMED_FIELDS = 12
_N_TIMED_FRAMES = 200
_N_REFERENCE_FRAMES = 3


@dataclass(slots=True)
class Count:
    """Lines of one condition. `theirs` by CnOCR: (lines, exact); `contradicted`: both give a number, another one."""

    n: int = 0
    exact: int = 0
    wrong: int = 0
    abstained: int = 0
    n_theirs: int = 0
    exact_theirs: int = 0
    contradicted: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Count `other`'s lines too."""
        for name in ("n", "exact", "wrong", "abstained", "n_theirs", "exact_theirs", "contradicted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples += other.examples

    def figures(self) -> dict[str, Json]:
        """Rates; `exact_rate` of the lines that were not abstained."""
        accepted = max(self.exact + self.wrong, 1)
        return {
            "n_lines": self.n,
            "exact_rate": round(self.exact / accepted, 6),
            "n_wrong": self.wrong,
            "wrong_accept_rate": self.wrong / max(self.n, 1),
            "wrong_accept_bound_95": upper_bound(self.wrong, max(self.n, 1)),
            "abstain_rate": round(self.abstained / max(self.n, 1), 6),
            "cnocr_n_lines": self.n_theirs,
            "cnocr_exact_rate": round(self.exact_theirs / max(self.n_theirs, 1), 4),
            "cnocr_contradicted": self.contradicted,
            "examples": self.examples[:5],
        }


def run(frames: int = 3000) -> BenchResult:
    """Read `frames` frames, shared among the machines and conditions.

    Raises: MissingExtra without CnOCR.
    """
    cv2.setNumThreads(1)
    ocr, reader = CnOcrReader.load(), Reader.load(default_model())
    readers = {name: FieldReader(*_layout(style, ocr), reader) for name, style in MACHINES.items()}
    rows = {condition: Count() for condition in CONDITIONS}
    each = max(frames // (len(CONDITIONS) * len(readers)), 1)
    for name, fields in readers.items():
        panels = Panels(MACHINES[name], seed=11)
        for condition, row in rows.items():
            row.add(_count(fields, panels, condition, each, ocr))
            _say(f"{name}, {condition}: {row.n} lines, {row.wrong} wrong, {row.abstained} abstained")
    unseen = _count(
        FieldReader(*_layout(UNSEEN, ocr), reader), Panels(UNSEEN, seed=12), "clean", max(each // 2, 1), ocr
    )
    total = Count()
    for row in rows.values():
        total.add(row)
    times = _times(next(iter(readers.values())), reader, ocr)
    figures: dict[str, Json] = {
        "unit": "ms a line, one thread (CnOCR: all)",
        **total.figures(),
        **times.figures(),
        "conditions": {name: row.figures() for name, row in rows.items()},
        "unseen_typeface": unseen.figures(),
        "calibration": calibrate(reader, max(4 * frames, 400)).figures(),
        "n_frames": each * len(CONDITIONS) * len(readers),
    }
    ours, theirs = times.ours_ms_line, times.theirs_ms_line
    return BenchResult("fields", ours, theirs, theirs / ours, figures, machine())


def _layout(style: PanelStyle, ocr: CnOcrReader) -> tuple[Layout, NDArray[np.uint8]]:
    """What `sightline layout` finds on whole pictures of a machine: layout and reference picture."""
    line = AseLine(3, style=style)
    samples = [line.sample(9 * k) for k in range(N_LAYOUT_PICTURES)]
    pictures = [sample.picture for sample in samples]
    greys = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) for picture in pictures]
    layout, reference, _ = find_layout("ase", pictures, greys, [ocr.find(picture) for picture in pictures])
    _say(f"layout of {style.face}: {len(layout.fields)} fields, {len(layout.relations)} relations")
    return layout, reference


def _count(fields: FieldReader, panels: Panels, condition: str, n_frames: int, ocr: CnOcrReader) -> Count:
    row = Count()
    for index in range(n_frames):
        shown = panels.show(index, condition)
        for value in fields.read(shown.grey).values:
            row.n += 1
            known = value.status in (FieldStatus.READ, FieldStatus.OUT_OF_RANGE) and value.value is not None
            right = known and value.value == shown.values[value.name]
            row.exact += right
            row.wrong += known and not right
            row.abstained += not known
            if known and not right:
                row.examples.append(f"{condition}: {shown.texts[value.name]} read as {value.value:g}")
        if index < _N_REFERENCE_FRAMES:
            _compare(fields, shown, ocr, row)
    return row


def _compare(fields: FieldReader, shown: Shown, ocr: CnOcrReader, row: Count) -> None:
    """CnOCR on the same lines: how often it is right, and whether it contradicts what we accepted."""
    values = {value.name: value.value for value in fields.read(shown.grey).values}
    layout = fields.layout
    theirs = ocr.read_many([window_of(shown.picture, each) for each in layout.fields])
    for each, (text, _) in zip(layout.fields, theirs, strict=True):
        row.n_theirs += 1
        row.exact_theirs += fold_signs(text) == shown.texts[each.name]
        number = parse_field(fold_signs(text), each).value
        row.contradicted += number is not None and values[each.name] is not None and number != values[each.name]


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in milliseconds."""

    ours_ms_line: float
    theirs_ms_line: float
    theirs_single_ms_line: float
    theirs_cpu_ms_line: float
    frame_ms: float
    frame_cpu_ms: float
    frame_unchanged_ms: float

    def figures(self) -> dict[str, Json]:
        """For the table."""
        return {
            "n_fields_timed": N_TIMED_FIELDS,
            "frame_ms": self.frame_ms,
            "frame_cpu_ms": self.frame_cpu_ms,
            "frame_unchanged_ms": self.frame_unchanged_ms,
            "cnocr_single_line_ms": self.theirs_single_ms_line,
            "cnocr_line_cpu_ms": self.theirs_cpu_ms_line,
            "cpu_ratio": self.theirs_cpu_ms_line / (self.frame_cpu_ms / N_TIMED_FIELDS),
        }


def _times(fields: FieldReader, reader: Reader, ocr: CnOcrReader) -> Times:
    """Of frames with N_TIMED_FIELDS fields, every number new; and of the same frame again."""
    layout = fields.layout.model_copy(update={"fields": fields.layout.fields[:N_TIMED_FIELDS], "relations": ()})
    timed = FieldReader(layout, fields.reference, reader)
    panels = Panels(MACHINES["columns"], seed=13)
    shown = [panels.show(index, "clean") for index in range(_N_TIMED_FRAMES)]
    fresh, busy, again, batch, single, theirs_busy = [], [], [], [], [], []
    for index, frame in enumerate(shown):
        timed.forget()
        began_s = time.thread_time()
        fresh.append(_ms(partial(timed.read, frame.grey)))
        busy.append(1000 * (time.thread_time() - began_s))
        again.append(_ms(partial(timed.read, frame.grey)))
        if index % 25 == 0:
            lines = [window_of(frame.picture, each) for each in layout.fields]
            began_s = time.process_time()
            batch.append(_ms(partial(ocr.read_many, lines)) / len(lines))
            theirs_busy.append(1000 * (time.process_time() - began_s) / len(lines))
            single += [_ms(partial(ocr.read, line)) for line in lines]
    theirs = min(float(np.median(batch)), float(np.median(single)))
    ours = float(np.median(fresh))
    return Times(
        ours_ms_line=ours / N_TIMED_FIELDS,
        theirs_ms_line=theirs,
        theirs_single_ms_line=float(np.median(single)),
        theirs_cpu_ms_line=float(np.median(theirs_busy)),
        frame_ms=ours,
        frame_cpu_ms=float(np.median(busy)),
        frame_unchanged_ms=float(np.median(again)),
    )


def _ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _say(text: str) -> None:
    say(f"fields: {text}")


def table(result: BenchResult) -> str:
    """The table of docs/oanet.md."""
    conditions = result.figures["conditions"]
    assert isinstance(conditions, dict)
    rows: Sequence[tuple[str, Json]] = [*conditions.items(), ("all", result.figures),
                                        ("a typeface never taught", result.figures["unseen_typeface"])]  # fmt: skip
    lines = [
        "| condition | lines | exact of accepted | wrong accepts | bound (95 %) | abstained | CnOCR exact |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows:
        assert isinstance(row, dict)
        lines.append(
            f"| {name} | {row['n_lines']} | {row['exact_rate']:.4%} | {row['n_wrong']} | "
            f"{row['wrong_accept_bound_95']:.1e} | {row['abstain_rate']:.3%} | {row['cnocr_exact_rate']:.1%} of "
            f"{row['cnocr_n_lines']} |"
        )
    figures = result.figures
    lines += [
        "",
        f"One line: {result.ours:.4f} ms, CnOCR {result.baseline:.2f} ms, ratio {result.ratio:.0f} (by processor time "
        f"{figures['cpu_ratio']:.0f}). A frame of "
        f"{figures['n_fields_timed']} fields: {figures['frame_ms']:.2f} ms, {figures['frame_cpu_ms']:.2f} ms of one "
        f"core's time; unchanged: {figures['frame_unchanged_ms']:.2f} ms.",
        "",
        *_calibration_table(figures["calibration"]),
    ]
    return "\n".join(lines)


def _calibration_table(figures: Json) -> list[str]:
    assert isinstance(figures, dict)
    lines = ["| least confidence | abstained | wrong of accepted |", "|---|---|---|"]
    thresholds = figures["thresholds"]
    assert isinstance(thresholds, dict)
    for threshold, row in thresholds.items():
        assert isinstance(row, dict)
        lines.append(f"| {threshold} | {row['abstain_rate']:.2%} | {row['wrong_of_accepted']:.3%} |")
    return [*lines, "", f"{figures['n_lines']} lines, calibration error {figures['calibration_error']:.4f}."]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3000, help="frames to read, 16 lines each")
    parser.add_argument("--table", action="store_true", help="print the table of docs/oanet.md instead of JSON")
    asked = parser.parse_args()
    made = run(asked.frames)
    print(table(made) if asked.table else made.to_json())
