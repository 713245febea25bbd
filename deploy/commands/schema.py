"""`sightline schema`: the published JSON Schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    name: Annotated[
        str | None, typer.Argument(help="verdict, alert, frame (headers) or dead-letter (headers).")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write all of them as <name>.json into this folder instead.")
    ] = None,
) -> None:
    """Print the JSON Schema of a record, for programs that read or write the topics.

    Try: sightline schema verdict > verdict.schema.json
    """
    from schemas.errors import InputError
    from schemas.published import SCHEMAS, schema_text

    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for each in SCHEMAS:
            (write / f"{each}.json").write_text(schema_text(each), encoding="utf-8")
        return
    if name is None or name not in SCHEMAS:
        known = ", ".join(SCHEMAS)
        raise InputError(f"there is no schema {name!r}; there are {known}" if name else f"name a schema: {known}")
    print(schema_text(name), end="")
