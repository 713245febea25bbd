"""The benchmark of the alignment prints figures of both sides, and its truth is true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import align
from benchmarks.align_refusal import upper_bound
from benchmarks.align_truth import Product, load_products
from engines.geometry import motion


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path))


@pytest.mark.usefixtures("without_pictures")
def test_the_demo_plate_alone_gives_every_figure(tmp_path: Path) -> None:
    result = json.loads(align.run(frames=20).to_json())
    assert list(result) == ["name", "ours", "baseline", "ratio", "figures", "machine"]
    assert result["ratio"] == pytest.approx(result["baseline"] / result["ours"])
    figures = result["figures"]
    for name in ("p50_px", "p95_px", "p95_deg", "failure_rate", "crlb_px", "ms_per_frame"):
        assert np.isfinite(figures[name]), name
    assert figures["p95_px"] < 0.05
    assert figures["failure_rate"] == 0
    assert figures["missing"] == ["mvtec_screw", "deeppcb", "circuit_board"]
    peers = set(figures["products"]["plate"]["peers"])
    assert {"refine", "ecc", "ecc_pyramid", "orb_ransac", "log_polar"} <= peers
    assert peers | set(figures["missing_peers"]) >= {"scikit_image", "xfeat_lighterglue"}
    assert figures["refusals"]["plate"]["n_good_refused"] == 0


def test_a_frame_of_known_truth_lies_where_the_truth_says() -> None:
    ys, xs = np.indices((128, 128))
    spot = np.exp(-((xs - 70.0) ** 2 + (ys - 50.0) ** 2) / 200).astype(np.float32) * 200
    product = Product("spot", spot, (0, 0, 128, 128), (64, 64), False)
    frame = product.frame(motion((64, 64), (64, 64), 4.25, -2.5, 0.0))
    rows, columns = np.indices((64, 64))
    middle = np.array([(columns * frame).sum(), (rows * frame).sum()]) / frame.sum()
    np.testing.assert_allclose(middle, (70 / 2 - 0.25 + 4.25, 50 / 2 - 0.25 - 2.5), atol=0.02)


@pytest.mark.parametrize(("n_hits", "n", "most"), [(0, 5000, 0.000599), (0, 3000, 0.000998), (1, 10, 0.394)])
def test_the_bound_of_the_refusals_is_clopper_and_pearsons(n_hits: int, n: int, most: float) -> None:
    assert upper_bound(n_hits, n) == pytest.approx(most, rel=2e-3)


def test_products_whose_pictures_are_absent_are_named(tmp_path: Path) -> None:
    found, missing = load_products(tmp_path)
    assert [product.name for product in found] == ["plate"]
    assert missing == ["mvtec_screw", "deeppcb", "circuit_board"]
