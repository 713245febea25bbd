from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.retention import RetentionRule, sweep
from schemas.store import ContentStore

NOW = datetime(2030, 1, 10, tzinfo=UTC)


def keep(root: Path, kind: str, content: bytes, age: timedelta) -> Path:
    ref = ContentStore(f"file://{root}/{kind}").put(content, ".png")
    path = Path(ref.removeprefix("file://"))
    stamp = (NOW - age).timestamp()
    os.utime(path, (stamp, stamp))
    return path


def test_evidence_older_than_its_age_is_removed_and_younger_is_kept(tmp_path: Path) -> None:
    old = keep(tmp_path, "fail", b"old", timedelta(days=31))
    young = keep(tmp_path, "fail", b"young", timedelta(days=29))
    swept = sweep(f"file://{tmp_path}", RetentionRule("fail", 30 * 86400.0, None), NOW)
    assert (old.exists(), young.exists(), swept.n_removed) == (False, True, 1)


def test_the_oldest_evidence_goes_first_when_there_is_too_much(tmp_path: Path) -> None:
    paths = [keep(tmp_path, "pass", bytes([age]) * 100, timedelta(hours=age)) for age in range(1, 6)]
    swept = sweep(f"file://{tmp_path}", RetentionRule("pass", None, 250), NOW)
    assert [path.exists() for path in paths] == [True, True, False, False, False]
    assert (swept.removed_bytes, swept.kept_bytes) == (300, 200)


def test_one_kind_never_touches_another(tmp_path: Path) -> None:
    other = keep(tmp_path, "fail", b"x" * 1000, timedelta(days=900))
    sweep(f"file://{tmp_path}", RetentionRule("pass", 1.0, 1), NOW)
    assert other.exists()


def test_a_store_that_holds_nothing_yet_is_no_error(tmp_path: Path) -> None:
    assert sweep(f"file://{tmp_path}", RetentionRule("fail", 1.0, 1), NOW).n_removed == 0
