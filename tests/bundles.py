"""Builders of bundles whose model is never run: enough for what stores, names and activates them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from engines.bundle import MODEL, TEMPLATE, bundle_bytes
from engines.manifest import Manifest, ParityEntry, ParityReport
from schemas.verdict import Thresholds
from tests.verdicts import NOON


def a_parity_report(*, holds: bool = True) -> ParityReport:
    """Two backends, of which OpenVINO holds or not."""
    entries = (
        ParityEntry(backend="onnxruntime", precision="f32", version="1.20", max_difference=0.0, n_flips=0, holds=True),
        ParityEntry(backend="openvino", precision="f16", version="2025.0", max_difference=0.25, n_flips=3, holds=holds),
    )
    return ParityReport(reference="onnxruntime", n_pictures=8, tolerance=5e-4, entries=entries)


def a_bundle_file(
    product: str = "plate",
    *,
    parity: ParityReport | None = None,
    model: bytes = b"model",
    fail: float = 0.5,
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """The content of a bundle file; `parity` holds unless given; `more` members by name."""
    manifest = Manifest(
        product=product,
        created_at=NOON,
        input_size_px=(32, 32),
        frame_size_px=(64, 64),
        thresholds=Thresholds(review=0.4, fail=fail),
        cell_threshold=0.3,
        min_area_px=5,
        ignore_px=((1, 2, 3, 4),),
        parity=parity or a_parity_report(),
    )
    return bundle_bytes(manifest, {MODEL: model, TEMPLATE: _template_png(), **(more or {})})


def a_bundle_file_without_parity() -> bytes:
    """One that was never compared on its backends."""
    manifest = Manifest(
        product="plate",
        created_at=NOON,
        input_size_px=(32, 32),
        frame_size_px=(64, 64),
        thresholds=Thresholds(review=0.4, fail=0.5),
        cell_threshold=0.3,
    )
    return bundle_bytes(manifest, {MODEL: b"model", TEMPLATE: _template_png()})


def _template_png() -> bytes:
    _, encoded = cv2.imencode(".png", np.zeros((32, 32), np.uint8))
    return encoded.tobytes()
