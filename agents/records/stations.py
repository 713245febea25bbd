"""Stations: one that nobody registered gets a row, `unassigned`, the first time it is seen."""

from __future__ import annotations

from collections.abc import Iterable

from agents.database import Connection
from agents.records.upsert import Upsert

_STATIONS = Upsert("station", ("station", "site", "line"), "DO NOTHING", key=("station",))


def register_stations(conn: Connection, stations: Iterable[tuple[str, str, str]]) -> None:
    """Make sure each (station, site, line) has a row; those already there are not touched or locked."""
    _STATIONS.run(conn, list({station[0]: station for station in stations}.values()))
