"""Compiled engines on disk: found again, never trusted without their sha256."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.backends.plan_cache import PlanCache, PlanKey

KEY = PlanKey("ab" * 32, "tensorrt", "NVIDIA Some/GPU-sm90", "10.1")


def test_a_plan_is_found_again(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    assert cache.load(KEY) is None
    cache.store(KEY, b"native code")
    assert cache.load(KEY) == b"native code"


def test_a_plan_of_another_device_version_or_bundle_is_not(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"native code")
    for other in (
        PlanKey("cd" * 32, KEY.backend, KEY.device, KEY.version),
        PlanKey(KEY.bundle_sha256, KEY.backend, "another", KEY.version),
        PlanKey(KEY.bundle_sha256, KEY.backend, KEY.device, "10.2"),
    ):
        assert cache.load(other) is None


def test_an_altered_plan_is_deleted_not_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"native code")
    (tmp_path / KEY.file_name).write_bytes(b"hostile code")
    assert cache.load(KEY) is None
    assert "does not match its sha256" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    PlanCache(tmp_path / "file").store(KEY, b"native code")
    assert "cannot be kept" in caplog.text
