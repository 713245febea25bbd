"""`sightline history`: the SQL views as tables."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.options import PostgresOption, SinceOption, StateOption, StationOption

_NAMES = "yield, pareto, systematic, overkill, unit, unit-history, gap"


def history(
    view: Annotated[str | None, typer.Argument(help=f"One of {_NAMES}; without it the newest rows of each.")] = None,
    station: StationOption = None,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    unit: Annotated[str | None, typer.Option(help="Only this unit (serial number).")] = None,
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option(help="Only before then, written like --since.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of each view.")] = 20,
    postgres: PostgresOption = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object a row, with every column.")] = False,
    show_sql: Annotated[bool, typer.Option("--sql", help="Print the query instead, to take into psql.")] = False,
) -> None:
    """Show what was decided: yield, defects by place, systematic defects, false calls, units, gaps.

    Every table is one query to a view explained in docs/sql.md; --sql prints it. Exit: 0 shown (also when there is
    nothing to show), 1 a filter does not fit, 2 set-up is wrong.

    Try: sightline history yield --since 24h --sql
    """
    from datetime import UTC, datetime

    from deploy.history_query import VIEWS, Filters, applicable, statement
    from deploy.moments import parse_moment
    from deploy.options import open_database, settings_of
    from schemas.errors import InputError

    if view is not None and view not in VIEWS:
        raise InputError(f"there is no view {view!r}; there are {_NAMES}")
    now = datetime.now(UTC)
    filters = Filters(
        station.removeprefix("/") if station else None,
        product,
        unit,
        parse_moment(since, now) if since else None,
        parse_moment(until, now) if until else None,
    )
    chosen = [VIEWS[view]] if view else [each for each in VIEWS.values() if applicable(each, filters)]
    queries = [(each, statement(each, filters, limit, () if json else each.columns)) for each in chosen]
    if show_sql:
        for _, query in queries:
            print(f"{query.as_string(None)};")
        return
    with open_database(settings_of(postgres=postgres, state=state)) as conn:
        for each, query in queries:
            _show(each.name, each.question, _rows(conn, query), as_json=json)


def _rows(conn: Any, query: Any) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from agents.database import database_edge

    with database_edge(), conn.cursor(row_factory=dict_row) as cursor:
        found: list[dict[str, Any]] = cursor.execute(query).fetchall()
    return found


def _show(name: str, question: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from deploy.tables_shown import console_for, print_json_lines, table_of

    if as_json:
        print_json_lines({"view": name, **row} for row in rows)
        return
    if not rows:
        print(f"{name}: {question} nothing yet\n")
        return
    columns = list(rows[0])
    console = console_for(len(columns))
    console.print(table_of(f"{name}: {question}", columns, rows))
    console.print()
