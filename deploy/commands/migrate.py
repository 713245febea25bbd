"""`sightline migrate`: bring a database to the shape this version needs."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.options import PostgresOption, StateOption


def migrate(
    postgres: PostgresOption = None,
    state: StateOption = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the database is behind.")] = False,
) -> None:
    """Create or upgrade schema `sightline`: tables, views, roles. `sightline up` does it by itself.

    Run it by hand when workers connect as an account that may not. When this account may not either, the message says
    what a superuser has to run. Doing it twice changes nothing. Exit: 0 at the newest revision, 1 behind, 2 refused.
    """
    from deploy.addresses import with_postgres
    from deploy.migrate import current, head, upgrade
    from deploy.options import settings_of

    url = with_postgres(settings_of(postgres=postgres, state=state)).postgres_url
    before = current(url)
    if check:
        print(f"the database is at revision {before or 'none'}; this version needs {head()}")
        raise typer.Exit(0 if before == head() else 1)
    after = upgrade(url)
    print(f"already at revision {after}" if before == after else f"from revision {before or 'none'} to {after}")
