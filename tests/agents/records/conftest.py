from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.database import Connection, connect
from tests.databases import database_name, fresh_database


@pytest.fixture(scope="session")
def shared_database(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """URL of a migrated database in which every test rolls back what it writes."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        yield url


@pytest.fixture
def conn(shared_database: str) -> Iterator[Connection]:
    """A transaction, rolled back at the end: nobody else sees what a test writes."""
    with connect(shared_database) as connection:
        yield connection
        connection.rollback()
