"""`sightline layout`: where a product's pictures print their machine parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engines.cnocr_reader import CnOcrReader
    from pipeline.decode import Picture
    from pipeline.layout_trial import FieldTrial
    from schemas.layout import Layout


def layout(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of the product, or folders of them; 8 are enough.")],
    product: Annotated[str, typer.Option(help="Name of the product, as `train` will call it.")],
    out: Annotated[
        Path, typer.Option(help="Layout to write; layout.png and layout.drawn.png are written beside it.")
    ] = Path("layout.toml"),
    check: Annotated[
        Path | None, typer.Option(help="A layout you corrected: try it on the pictures instead of finding one.")
    ] = None,
    count: Annotated[int, typer.Option(min=3, help="Pictures to look at, evenly chosen.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Find the printed machine parameters once: names, numbers, units, colours, places, and where the part is.

    CnOCR looks for text (extra `ocr`, seconds a picture, no download); then Sightline's own reader, which reads on the
    line, is tried against it: a field they disagree on gets `trusted = false` and is never read. Look at the drawn
    picture, correct the TOML by hand, and try it again with --check. Exit 1: a field cannot be read as it should.

    Try: sightline layout pictures/ --product ase --out layout.toml, then sightline train ase --good good/
    --fields layout.toml --out ase.bundle
    """
    from deploy.commands.inspect import picture_files
    from deploy.commands.progress import ConsoleProgress
    from engines.cnocr_reader import CnOcrReader
    from pipeline.field_members import FieldMembers
    from pipeline.layout_trial import distrust

    paths = _evenly(picture_files(pictures), count)
    with ConsoleProgress() as progress:
        decoded = [_decode(path) for path in paths]
        ocr = CnOcrReader.load()
        if check is None:
            found, reference, notes = _find(product, decoded, ocr, progress)
        else:
            corrected = FieldMembers.open(check)
            found, reference, notes, out = corrected.layout, corrected.reference(), [], check
        trials = _try(found, reference, decoded, ocr, progress)
    trusted = found if check is not None else distrust(found, trials)
    _write(out, trusted, reference, decoded[0], keep_toml=check is not None)
    bad = [trial for trial in trials if trial.n_disagree or 2 * trial.n_read < trial.n]
    typer.echo(_json(out, trusted, trials, notes) if as_json else _text(out, trusted, trials, notes))
    if bad:
        raise typer.Exit(1)


def _evenly(paths: Sequence[Path], count: int) -> list[Path]:
    step = max(len(paths) / count, 1.0)
    return [paths[int(i * step)] for i in range(min(count, len(paths)))]


def _decode(path: Path) -> Picture:
    from pipeline.decode import DecodeRules, decode
    from pipeline.picture_header import MalformedPictureError, content_type_of
    from schemas.errors import InputError, PoisonFrame

    content = path.read_bytes()
    try:
        return decode(content, content_type_of(content), DecodeRules(colour=True))
    except (MalformedPictureError, PoisonFrame) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc


def _find(
    product: str, decoded: Sequence[Picture], ocr: CnOcrReader, progress: object
) -> tuple[Layout, NDArray[np.uint8], list[str]]:
    from pipeline.layout_search import find_layout

    pieces, colours = [], []
    for done, picture in enumerate(decoded):
        assert picture.colour is not None
        colours.append(picture.colour)
        pieces.append(ocr.find(picture.colour))
        if callable(progress):
            progress("looking", done + 1, len(decoded))
    return find_layout(product, colours, [picture.grey for picture in decoded], pieces)


def _try(
    found: Layout, reference: NDArray[np.uint8], decoded: Sequence[Picture], ocr: CnOcrReader, progress: object
) -> list[FieldTrial]:
    from engines.reader import Reader, default_model
    from pipeline.field_reader import FieldReader
    from pipeline.layout_trial import try_layout

    reader = FieldReader(found, reference, Reader.load(default_model()))

    def report(what: str, done: int, total: int) -> None:
        if callable(progress):
            progress(what, done, total)

    return try_layout(reader, [picture.grey for picture in decoded], ocr, report)


def _write(out: Path, trusted: Layout, reference: NDArray[np.uint8], first: Picture, *, keep_toml: bool) -> None:
    """The TOML (unless a person wrote it), the reference picture, and the drawing."""
    from engines.reader import Reader, default_model
    from pipeline.field_reader import FieldReader
    from pipeline.layout_drawing import draw_layout
    from pipeline.layout_search import encode_reference
    from schemas.layout import encode_layout

    out.parent.mkdir(parents=True, exist_ok=True)
    if not keep_toml:
        trusted = trusted.model_copy(update={"picture": out.with_suffix(".png").name})
        out.write_bytes(encode_layout(trusted))
        out.with_suffix(".png").write_bytes(encode_reference(reference))
    values = FieldReader(trusted, reference, Reader.load(default_model())).read(first.grey).values
    said = {value.name: f"{value.value if value.value is not None else value.status.value}" for value in values}
    assert first.colour is not None
    out.with_suffix(".drawn.png").write_bytes(draw_layout(trusted, first.colour, said))


def _json(out: Path, trusted: Layout, trials: Sequence[FieldTrial], notes: Sequence[str]) -> str:
    return json.dumps(
        {
            "layout": str(out),
            "drawn": str(out.with_suffix(".drawn.png")),
            "fields": [
                {"name": field.name, "unit": field.unit, "trusted": field.trusted, "n": trial.n, "n_read": trial.n_read,
                 "n_agree": trial.n_agree, "n_disagree": trial.n_disagree}
                for field, trial in zip(trusted.fields, trials, strict=True)
            ],
            "part_px": trusted.part_px,
            "notes": list(notes),
        }
    )  # fmt: skip


def _text(out: Path, trusted: Layout, trials: Sequence[FieldTrial], notes: Sequence[str]) -> str:
    lines = [trial.text() for trial in trials]
    lines += [f"note: {note}" for note in notes]
    untrusted = [field.name for field in trusted.fields if not field.trusted]
    if untrusted:
        lines.append(f"not trusted, never read: {', '.join(untrusted)}; correct {out} and try --check")
    part = f"part at {list(trusted.part_px)}" if trusted.part_px else "no part found: everything is inspected"
    lines.append(f"{out}: {len(trusted.fields)} fields, {part}; look at {out.with_suffix('.drawn.png')}")
    return "\n".join(lines)
