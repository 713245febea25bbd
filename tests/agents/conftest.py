"""Fixtures that several modules of agents' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.publisher_bench import PublisherBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PublisherBench]:
    made = PublisherBench(tmp_path / "spool")
    yield made
    made.close()
