"""Options several commands take, said once, and the settings they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agents.database import Connection
    from deploy.settings import Settings
    from schemas.verdict import Box

KafkaOption = Annotated[str | None, typer.Option(help="host:port of Kafka; else the line run in --state.")]
PostgresOption = Annotated[str | None, typer.Option(help="postgresql:// URL; else the line run in --state.")]
StateOption = Annotated[Path | None, typer.Option(help="Folder of the line's state.")]
StationOption = Annotated[str | None, typer.Option(help="Only this station: site/line/station.")]
SinceOption = Annotated[str | None, typer.Option(help="Only from then on: 90m, 12h, 7d ago, or an RFC 3339 time.")]


def settings_of(*, kafka: str | None = None, postgres: str | None = None, state: Path | None = None) -> Settings:
    """The settings in force with what the command line gave on top. Raises: SetupError."""
    from deploy.settings import load_settings

    given = {"kafka_url": kafka, "postgres_url": postgres, "state_dir": state}
    return load_settings({name: value for name, value in given.items() if value is not None})


def open_database(settings: Settings) -> Connection:
    """A connection to the database of `settings`, or of the line run in its state folder.

    Raises: SetupError, TransientError.
    """
    from agents.database import connect
    from deploy.addresses import with_postgres

    return connect(with_postgres(settings).postgres_url, application="sightline command")


def boxes_of(texts: Sequence[str]) -> tuple[Box, ...]:
    """Boxes written as x,y,width,height in pixels. Raises: InputError naming the one that is none."""
    from schemas.errors import InputError

    boxes: list[Box] = []
    for text in texts:
        try:
            x, y, width, height = (int(number) for number in text.split(","))
        except ValueError:
            raise InputError(f"box {text!r}: write x,y,width,height in whole pixels, e.g. 10,20,64,32") from None
        if x < 0 or y < 0 or width < 1 or height < 1:
            raise InputError(f"box {text!r}: x and y are 0 or more, width and height 1 or more")
        boxes.append((x, y, width, height))
    return tuple(boxes)
