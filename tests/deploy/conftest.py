from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import database_name, fresh_database


@pytest.fixture(scope="session")
def shared_database(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """URL of a migrated database in which every test rolls back what it writes."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        yield url
