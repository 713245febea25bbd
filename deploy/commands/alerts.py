"""`sightline alerts`: systematic defects, and taking one in hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.options import PostgresOption, StateOption, StationOption

app = typer.Typer(no_args_is_help=True, help="Alerts about defects that keep coming back at one place.")


@app.command("list")
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that have cleared.")] = False,
    station: StationOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows shown.")] = 50,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object an alert, with every column.")] = False,
) -> None:
    """List open alerts, newest first. Exit 0, also when there is none."""
    from psycopg.rows import dict_row

    from agents.database import database_edge
    from deploy.options import open_database, settings_of
    from deploy.tables_shown import console_for, print_json_lines, table_of

    key = station.removeprefix("/") if station else None
    query = (
        "SELECT * FROM sightline.v_systematic WHERE (%(all)s OR is_open)"
        " AND (%(station)s::text IS NULL OR station = %(station)s)"
        " ORDER BY is_open DESC, coalesce(suspected_at, confirmed_at) DESC, alert_id LIMIT %(limit)s"
    )
    with open_database(settings_of(postgres=postgres, state=state)) as conn, database_edge():
        found: list[dict[str, Any]] = (
            conn.cursor(row_factory=dict_row)
            .execute(query, {"all": everything, "station": key, "limit": limit})
            .fetchall()
        )
    if json:
        print_json_lines(found)
    elif not found:
        print("no alerts" if everything else "no open alerts")
    else:
        columns = ["alert_id", "state", "station", "product", "region", "confirmed_at", "acknowledged_by", "text"]
        console_for(len(columns)).print(table_of("alerts", columns, found))


@app.command("ack")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="alert_id, or its first characters.")],
    note: Annotated[str, typer.Option(help="What is being done about it.")] = "",
    who: Annotated[str | None, typer.Option(help="Who takes it in hand; else the account on this machine.")] = None,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the alert as JSON.")] = False,
) -> None:
    """Take an open alert in hand; everybody who follows the alerts topic is told. Twice changes nothing.

    Exit: 0 acknowledged, 1 there is no such open alert.

    Try: sightline alerts ack 9c1f02aa --who Mia --note "clamp 3 replaced"
    """
    import getpass
    from datetime import UTC, datetime

    from agents.records.acknowledgement import acknowledge_alert
    from deploy.options import open_database, settings_of
    from schemas.alert import encode_alert

    person = who or getpass.getuser()
    with open_database(settings_of(postgres=postgres, state=state)) as conn:
        acknowledged = acknowledge_alert(conn, alert, who=person, note=note, at=datetime.now(UTC))
    if json:
        print(encode_alert(acknowledged).decode())
    else:
        print(f"alert {acknowledged.alert_id} at {acknowledged.station} is acknowledged: {acknowledged.text}")
