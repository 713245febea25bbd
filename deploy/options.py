"""Options several commands take, said once, and the settings they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agents.database import Connection
    from deploy.settings import Settings

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
