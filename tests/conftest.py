"""One real broker and one real database for the whole run; names of their own for every test."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.kafka import EmbeddedKafka
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.settings import Settings
from deploy.settings_sources import NOT_SETTINGS
from tests.databases import database_name, fresh_database

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """A developer's own SIGHTLINE_* settings do not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SIGHTLINE_") and name not in NOT_SETTINGS:
                patch.delenv(name)
        patch.delenv("SIGHTLINE_CONFIG", raising=False)
        yield


@pytest.fixture(scope="session")
def services_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the run's broker and database."""
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="session")
def kafka_url(services_dir: Path) -> Iterator[str]:
    """Bootstrap address of a real broker, started once a run."""
    with EmbeddedKafka(services_dir) as kafka:
        yield kafka.url


@pytest.fixture(scope="session")
def postgres_url(services_dir: Path) -> Iterator[str]:
    """URL of a real, empty Postgres, started once a run; its user is a superuser."""
    with EmbeddedPostgres(services_dir) as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def migrated_database(postgres_url: str) -> Iterator[str]:
    """URL of a database that was migrated once and is only copied from: nobody connects to it."""
    from deploy.migrate import upgrade

    with fresh_database(postgres_url) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def shared_database(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """URL of a migrated database in which every test rolls back what it writes."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        yield url


@pytest.fixture
def database(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """URL of this test's own migrated database."""
    with fresh_database(postgres_url, template=database_name(migrated_database)) as url:
        yield url


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A topic prefix (and so consumer groups) of this test alone."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}."


@pytest.fixture
def settings(kafka_url: str, database: str, topic_prefix: str, tmp_path: Path) -> Settings:
    """Settings of a line of this test alone, on the run's broker and database; topics are not created yet."""
    return Settings(
        kafka_url=kafka_url,
        postgres_url=database,
        state_dir=tmp_path / "state",
        topic_prefix=topic_prefix,
        partitions=2,
        replication_factor=1,
    )


@pytest.fixture(scope="session")
def pictures_dir() -> Path:
    """The folder of real pictures: ``SIGHTLINE_DATA``, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("SIGHTLINE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real pictures are missing: set SIGHTLINE_DATA, or put them in {folder}")
    return folder
