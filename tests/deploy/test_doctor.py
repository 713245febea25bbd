"""`sightline doctor` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.topic_admin import ensure_topics
from deploy.checkup.finding import Status
from deploy.checkup.run import examine
from deploy.settings import Settings
from schemas.topics import Topics
from tests.databases import fresh_database


def doctor(settings: Settings, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and standard output."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "deploy.cli", "doctor", *arguments],
        env={**os.environ, **settings.to_environment(), **variables},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


def by_name(output: str) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in json.loads(output)["findings"]}


def test_a_line_that_can_run_is_fine(settings: Settings) -> None:
    ensure_topics(settings, Topics(settings.topic_prefix).specs(settings.partitions))
    code, output = doctor(settings, "--json")
    found = by_name(output)
    assert code == 0, output
    assert {found[name]["status"] for name in ("python", "broker", "topics", "database", "migration", "clocks")} == {
        "fine"
    }
    rows = {row["name"]: row for row in json.loads(output)["settings"]}
    assert rows["partitions"] == {"name": "partitions", "value": "2", "origin": "SIGHTLINE_PARTITIONS"}
    assert rows["log_level"]["origin"] == "SIGHTLINE_LOG_LEVEL"


def test_no_password_is_printed(settings: Settings, database: str) -> None:
    password = database.split(":")[2].split("@", maxsplit=1)[0]
    _, output = doctor(settings, SIGHTLINE_KAFKA_SASL_PASSWORD="hush-hush")
    assert "kafka_sasl_password" in output
    assert password not in output
    assert "hush-hush" not in output


def test_missing_topics_and_a_database_never_migrated_are_wrong_with_a_remedy(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(postgres_url) as empty:
        for name, text in settings.model_copy(update={"postgres_url": empty}).to_environment().items():
            monkeypatch.setenv(name, text)
        findings, _ = examine({})
    wrong = {finding.name: finding for finding in findings if finding.status is Status.WRONG}
    assert set(wrong) == {"topics", "migration"}
    assert "sightline up" in wrong["topics"].remedy
    assert "sightline migrate" in wrong["migration"].remedy


def test_services_that_are_away_are_told_and_exit_with_one(tmp_path: Path) -> None:
    away = Settings(
        kafka_url="127.0.0.1:9", postgres_url="postgresql://u:p@127.0.0.1:9/d", state_dir=tmp_path / "state"
    )
    code, output = doctor(away, "--json")
    found = by_name(output)
    assert code == 1
    assert "Connection refused" in found["broker"]["detail"]
    assert found["database"]["status"] == "wrong"


def test_a_wrong_setting_exits_with_two_and_is_named(tmp_path: Path) -> None:
    code, output = doctor(Settings(state_dir=tmp_path), SIGHTLINE_PARTITIONS="many")
    assert code == 2
    assert "setting partitions (from SIGHTLINE_PARTITIONS) is 'many'" in output
