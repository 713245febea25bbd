"""One line for the whole run, on the run's own broker and database, with the demo's recipe in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.activation import Wishes, activate
from agents.database import connect
from deploy.migrate import upgrade
from pipeline.bundling import train_bundle
from pipeline.good_parts import picture_paths
from pipeline.plate import write_good_parts
from pipeline.training import TrainSettings
from schemas.store import ContentStore
from tests.databases import fresh_database
from tests.line.line_process import LineProcess

STATION = "test/line1/cam0"
PRODUCT = "plate"
PREFIX = "line-tests."
FAULTS_PREFIX = "fault-tests."
SESSION_TIMEOUT_S = 3.0


@pytest.fixture(scope="session")
def plate_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the demo's plate, trained from 48 renderings."""
    folder = tmp_path_factory.mktemp("plates")
    write_good_parts(folder, 48)
    out = tmp_path_factory.mktemp("bundles") / "plate.bundle"
    train_bundle(
        PRODUCT,
        picture_paths(folder),
        (),
        backbone="student",
        weights=None,
        colour="grey",
        settings=TrainSettings(),
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
        out=out,
        progress=lambda what, done, total: None,
    )
    return out


def put_in_force(postgres: str, bundles_dir: Path, bundle: Path, station: str, product: str = PRODUCT) -> None:
    """Activate `bundle` at `station`."""
    with connect(postgres) as connection, connection.transaction():
        store = ContentStore(f"file://{bundles_dir}")
        activate(connection, store, bundle.read_bytes(), station=station, product=product, wishes=Wishes())


def assign(line: LineProcess, bundle: Path, stations: Sequence[str]) -> None:
    """Activate `bundle` at `stations` of a running line, and wait until its workers have it in force."""
    for station in stations:
        put_in_force(line.postgres, line.state_dir / "bundles", bundle, station)
    recipes = line.query("SELECT count(*) FROM (SELECT DISTINCT station, product FROM sightline.recipe) AS recipe")
    line.wait_for_recipes(recipes[0][0])


@pytest.fixture(scope="session")
def line(
    kafka_url: str, postgres_url: str, plate_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineProcess]:
    """`sightline up` against the outside broker and database, one inspect worker, the plate's recipe in force."""
    state_dir = tmp_path_factory.mktemp("line")
    with fresh_database(postgres_url) as database:
        upgrade(database)
        put_in_force(database, state_dir / "bundles", plate_bundle, STATION)
        settings = outside_settings(
            topic_prefix=PREFIX, dead_letter_limit_consecutive="1000", dead_letter_limit_ratio="1"
        )
        with LineProcess(state_dir, "--kafka", kafka_url, "--postgres", database, settings=settings) as running:
            yield running


@pytest.fixture(scope="session")
def faults_line(kafka_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineProcess]:
    """Another such line, without a recipe, whose workers are given up after SESSION_TIMEOUT_S of silence."""
    with fresh_database(postgres_url) as database:
        settings = outside_settings(
            topic_prefix=FAULTS_PREFIX, partitions="4", session_timeout_s=str(SESSION_TIMEOUT_S)
        )
        arguments = ("--kafka", kafka_url, "--postgres", database)
        with LineProcess(tmp_path_factory.mktemp("faults"), *arguments, settings=settings) as running:
            yield running


def outside_settings(**settings: str) -> dict[str, str]:
    """Settings of a line on the run's own broker, which has one node."""
    return {"replication_factor": "1", "min_insync_replicas": "1", **settings}
