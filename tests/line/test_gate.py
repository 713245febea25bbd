"""A fused recipe on a real line: verdicts carry the gate, also when a modality is absent; a foggy camera is told."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.ase_folder import write_ase_folder
from pipeline.ase_line import AseSample
from pipeline.fusion_bundling import teach_fusion
from schemas.alert import Cause
from schemas.verdict import Box, Gate, Verdict
from tests.line.ase import ASE_LINE, Shot, activate_ase, good_parts, layout_members, send, train_ase
from tests.line.bad_frames import encode
from tests.line.line_process import LineProcess

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("xgboost", reason="the extra `boost` is not installed")
STATION = "gate/line1/cam0"
FOGGY = "gate/line1/cam1"
N_CLEAR, N_FOGGY = 20, 28


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ase-fused")
    path = train_ase(folder, "rgb")
    teach_fusion(path, write_ase_folder(folder / "labelled", ASE_LINE, 120), progress=lambda what, done, total: None)
    return path


@pytest.fixture(scope="module")
def verdicts(line: LineProcess, bundle: Path) -> dict[str, Verdict]:
    """A plain frame, one on which nothing is printed, one whose part is dark."""
    activate_ase(line, bundle, STATION)
    part = good_parts(30)[-1]
    x, y, w, h = part_px()
    blank, dark = part.picture.copy(), part.picture.copy()
    blank[: y - 5] = blank[-1, -1]
    blank[:, x + w + 5 :] = blank[-1, -1]
    dark[y : y + h, x : x + w] = 0
    sent = [Shot("plain", part.jpeg), Shot("blank", jpeg_of(blank)), Shot("dark", jpeg_of(dark))]
    return send(line, STATION, sent)


@cache
def part_px() -> Box:
    """Where the machine shows the part."""
    box = layout_members().layout.part_px
    assert box is not None
    return box


def jpeg_of(picture: NDArray[np.uint8]) -> bytes:
    return encode(np.ascontiguousarray(picture[:, :, ::-1]), ".jpg")


def foggy(part: AseSample) -> bytes:
    """The part behind a dirty lens: nothing printed is touched."""
    picture, (x, y, w, h) = part.picture.copy(), part_px()
    dots = picture[y : y + h, x : x + w]
    picture[y : y + h, x : x + w] = cv2.GaussianBlur(dots, (0, 0), 4) // 2 + 60
    return jpeg_of(picture)


def test_the_verdict_has_the_weights_of_picture_and_fields(line: LineProcess, verdicts: dict[str, Verdict]) -> None:
    plain = verdicts["plain"]
    assert plain.gate.image + plain.gate.fields == pytest.approx(1)
    assert 0.3 < plain.gate.image < 0.7
    assert plain.timing_ms.fuse is not None and plain.timing_ms.fuse > 0
    rows = line.query("SELECT frame_id, gate_image, gate_fields FROM sightline.verdict WHERE station = %s", STATION)
    assert {frame_id: (image, fields) for frame_id, image, fields in rows} == {
        frame_id: (verdict.gate.image, verdict.gate.fields) for frame_id, verdict in verdicts.items()
    }


def test_a_modality_that_is_absent_has_no_weight(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["blank"].gate == Gate(image=1.0, fields=0.0)
    assert verdicts["dark"].gate.image < 0.2


def test_pictures_that_no_longer_look_like_those_of_training_raise_an_alert(line: LineProcess, bundle: Path) -> None:
    activate_ase(line, bundle, FOGGY)
    parts = good_parts(N_CLEAR + N_FOGGY)
    shots = [
        Shot(f"part-{number}", part.jpeg if number < N_CLEAR else foggy(part), sequence=number)
        for number, part in enumerate(parts)
    ]
    send(line, FOGGY, shots)
    asked = f"FROM sightline.alert WHERE station = '{FOGGY}' AND rule = 'process_drift.picture'"
    line.wait_for_count(f"SELECT count(*) {asked}", 1)
    cause, first_sequence, text = line.query(f"SELECT cause, first_sequence, text {asked}")[0]
    assert cause == Cause.PROCESS.value
    assert N_CLEAR - 5 <= first_sequence <= N_CLEAR + 2
    assert "look less and less like" in text and "lens" in text
