"""The precisions' benchmark: every backend has its figures, or the reason why it has none."""

from __future__ import annotations

from pathlib import Path

import pytest

import benchmarks.precisions as bench


def test_without_real_pictures_plates_are_learnt_and_every_backend_is_accounted_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(bench, "_N_PLATES", 20)
    monkeypatch.setattr(bench, "_SIDE_PX", 96)
    monkeypatch.setattr(bench, "PRECISIONS", ("int8-symmetric", "f32"))
    result = bench.run(frames=4)
    rows = result.figures["rows"]
    assert isinstance(rows, dict) and list(rows) == ["plates/int8-symmetric", "plates/f32"]
    for row in rows.values():
        assert row["n_compared"] == 4
        assert row["onnxruntime"]["holds"] and row["openvino"]["holds"]
        assert row["openvino"]["difference"] < 1e-3 and row["openvino"]["median_ms"] > 0
        assert isinstance(row["tensorrt"], str) or row["tensorrt"]["holds"]
    assert result.ratio == pytest.approx(result.baseline / result.ours)
