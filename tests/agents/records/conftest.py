from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.database import Connection, connect


@pytest.fixture
def conn(shared_database: str) -> Iterator[Connection]:
    """A transaction, rolled back at the end: nobody else sees what a test writes."""
    with connect(shared_database) as connection:
        yield connection
        connection.rollback()
