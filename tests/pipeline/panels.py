"""Two machines whose panels the tests read."""

from __future__ import annotations

from engines.cnocr_reader import FoundText
from pipeline.ase_layout import grey_of, known_pieces
from pipeline.ase_line import AseLine, AseSample
from pipeline.ase_panel import Panel, PanelStyle

__all__ = ["COLUMNS", "RUNNING", "grey_of", "pieces_of_sample", "samples"]
COLUMNS = PanelStyle()
RUNNING = PanelStyle("roboto", 15.0, running=True, separator="=")


def samples(style: PanelStyle, n: int = 8) -> list[AseSample]:
    """Parts of one machine."""
    line = AseLine(3, style=style)
    return [line.sample(9 * k) for k in range(n)]


def pieces_of_sample(sample: AseSample, style: PanelStyle) -> list[FoundText]:
    """What an OCR would find on a part's panel."""
    return known_pieces(Panel(style), {name: printed.text for name, printed in sample.fields.items()})
