"""The camera benchmark measures both producers on one broker and reports every round."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.camera import compare


def test_the_camera_benchmark_reports_both_producers(kafka_url: str, tmp_path: Path):
    result = compare(kafka_url, tmp_path, n_frames=60, n_rounds=2, size_px=64)
    assert result.ours > 0 and result.baseline > 0 and result.ratio > 0
    figures = json.loads(result.to_json())["figures"]
    assert (len(figures["ours_rounds"]), len(figures["baseline_rounds"])) == (2, 2)
