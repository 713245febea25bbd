from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from deploy.disk_watch import LOW_BYTES, DiskWatch

Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_runs_low_is_said_twice_a_minute_until_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    free, now_s = [2 * LOW_BYTES], [0.0]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, free[0]))
    watch = DiskWatch(tmp_path, said.append, lambda: now_s[0])

    def look_for(seconds: int) -> list[str]:
        said.clear()
        for _ in range(seconds):
            now_s[0] += 1
            watch.look()
        return list(said)

    assert look_for(60) == []
    free[0] = LOW_BYTES - 1
    low = look_for(60)
    assert len(low) == 2
    assert "512 MB" in low[0]
    assert str(tmp_path) in low[0]
    free[0] = 2 * LOW_BYTES
    assert [sentence.startswith("disk: 1,024 MB are free again") for sentence in look_for(60)] == [True]
