from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from deploy.highlights import Highlights


def drawn(tmp_path: Path, n_lines: int) -> tuple[str, str]:
    terminal = io.StringIO()
    out = Highlights(Console(file=terminal, width=80))
    for number in range(n_lines):
        out.line(f"line-{number}.")
    out.event("the alarm")
    out.line("after-it.")
    out.save_svg(tmp_path / "run.svg", "a run")
    return terminal.getvalue(), (tmp_path / "run.svg").read_text()


def test_the_terminal_sees_every_line(tmp_path: Path) -> None:
    terminal, _ = drawn(tmp_path, 50)
    assert all(f"line-{number}." in terminal for number in range(50))


def test_the_picture_keeps_the_first_lines_and_those_around_an_event(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, 50)
    kept = [number for number in range(50) if f"line-{number}." in svg]
    assert kept == [0, 1, 2, 3, 47, 48, 49]
    assert "alarm" in svg
    assert "after-it." in svg


def test_the_picture_names_no_server(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, 3)
    assert "font-face" not in svg
    assert "url(http" not in svg.replace(chr(34), "").replace("'", "")
