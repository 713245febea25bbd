"""Where pictures come from: files untouched, videos encoded, what is no picture refused by name."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from agents.frame_sources import (
    FolderSource,
    RefusedShot,
    Shot,
    SimulatorSettings,
    VideoSource,
    content_type_of,
    simulator,
)
from pipeline.ase_line import AseLine
from schemas.errors import InputError


def a_picture(suffix: str, level: int = 128) -> bytes:
    return cv2.imencode(suffix, np.full((16, 24), level, np.uint8))[1].tobytes()


def a_video(path: Path, n_frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(n_frames):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    return path


def test_a_folder_yields_its_pictures_sorted_with_their_bytes_untouched(tmp_path: Path):
    names = {"b.jpg": ".jpg", "a.png": ".png", "sub/c.bmp": ".bmp", "sub/D.TIF": ".tif"}
    for name, suffix in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(a_picture(suffix))
    shots = list(FolderSource(tmp_path))
    assert [shot.unit_id for shot in shots] == ["a", "b", "sub/D", "sub/c"]
    assert [shot.content_type for shot in shots] == ["image/png", "image/jpeg", "image/tiff", "image/bmp"]
    assert shots[1].picture == (tmp_path / "b.jpg").read_bytes()


def test_the_content_type_is_what_the_bytes_say_not_the_name(tmp_path: Path):
    (tmp_path / "really_a_png.jpg").write_bytes(a_picture(".png"))
    assert [shot.content_type for shot in FolderSource(tmp_path)] == ["image/png"]


def test_a_file_that_is_no_picture_is_refused_by_name_and_its_neighbours_are_sent(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(a_picture(".png"))
    (tmp_path / "b.png").write_bytes(b"<html>not found</html>")
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.png").write_bytes(a_picture(".png"))
    (tmp_path / "notes.txt").write_text("left alone")
    shots = list(FolderSource(tmp_path))
    assert [type(shot) for shot in shots] == [Shot, RefusedShot, RefusedShot, Shot]
    assert "b.png is no JPEG, PNG, BMP or TIFF" in shots[1].reason
    assert "begins with 3c 68" in shots[1].reason
    assert "nothing" in shots[2].reason


def test_a_file_that_vanishes_is_refused_and_not_a_crash(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(a_picture(".png"))
    source = FolderSource(tmp_path)
    (tmp_path / "a.png").unlink()
    assert "cannot be read" in next(iter(source)).reason


def test_a_folder_may_begin_again(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(a_picture(".png"))
    shots = iter(FolderSource(tmp_path, loop=True))
    assert [next(shots).unit_id for _ in range(3)] == ["a", "a", "a"]


def test_an_absent_or_empty_folder_is_refused_at_once(tmp_path: Path):
    with pytest.raises(InputError, match="not a folder"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no picture"):
        FolderSource(tmp_path)


@pytest.mark.parametrize(("encoding", "content_type"), [("png", "image/png"), ("jpeg", "image/jpeg")])
def test_a_video_yields_every_frame_encoded_as_asked(tmp_path: Path, encoding: str, content_type: str):
    source = VideoSource(str(a_video(tmp_path / "line.avi", 4)), encoding=encoding)
    shots = list(source)
    assert [shot.unit_id for shot in shots] == [f"line-{index:06d}" for index in range(4)]
    assert {content_type_of(shot.picture) for shot in shots} == {content_type}
    levels = [cv2.imdecode(np.frombuffer(shot.picture, np.uint8), cv2.IMREAD_GRAYSCALE).mean() for shot in shots]
    assert np.allclose(levels, [0, 40, 80, 120], atol=4)
    assert encoding in source.description


def test_a_video_that_begins_again_numbers_its_frames_on(tmp_path: Path):
    shots = iter(VideoSource(str(a_video(tmp_path / "line.avi", 2)), loop=True))
    assert [next(shots).unit_id for _ in range(5)] == [f"line-{index:06d}" for index in range(5)]


def test_a_video_that_cannot_be_opened_is_refused_at_once(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        VideoSource(str(tmp_path / "nowhere.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="cannot open the video"):
        VideoSource(str(tmp_path / "text.mp4"))
    with pytest.raises(InputError, match="neither png nor jpeg"):
        VideoSource(str(tmp_path / "text.mp4"), encoding="gif")


def test_the_simulated_line_yields_the_same_units_every_time():
    settings = SimulatorSettings(size_px=64)
    first, again = iter(simulator("plate", settings)), iter(simulator("plate", settings))
    for _ in range(3):
        shot = next(first)
        assert shot == next(again)
        assert content_type_of(shot.picture) == "image/png"
        assert shot.unit_id and shot.lot


def test_an_unknown_simulated_line_is_refused_with_the_ones_there_are():
    with pytest.raises(InputError, match="choose one of ase, plate"):
        simulator("gearbox", SimulatorSettings())
    with pytest.raises(InputError, match="hit rate"):
        simulator("plate", SimulatorSettings(scratch_from=0, scratch_rate=2))


def test_the_simulated_machine_that_prints_parameters_sends_jpeg_with_units_and_lots() -> None:
    shots = list(itertools.islice(simulator("ase", SimulatorSettings(seed=5)), 2))
    assert [shot.content_type for shot in shots] == ["image/jpeg"] * 2
    assert [(shot.unit_id, shot.lot) for shot in shots] == [
        ("AS005-000000", "A005-0000"),
        ("AS005-000001", "A005-0000"),
    ]
    assert all(shot.picture.startswith(b"\xff\xd8") for shot in shots)


def test_the_printing_machines_line_has_as_many_defective_parts_as_wanted() -> None:
    line = AseLine(5)
    shots = list(itertools.islice(simulator("ase", SimulatorSettings(seed=5, defect_rate=0.1)), 150))
    defective = [line.sample(int((shot.unit_id or "").split("-")[1])).defective for shot in shots]
    assert 5 <= sum(defective) <= 27
    with pytest.raises(InputError, match=r"from 0 to 0\.395"):
        simulator("ase", SimulatorSettings(defect_rate=0.9))


def test_a_machine_that_wears_bonds_with_less_and_less_force() -> None:
    worn = list(itertools.islice(simulator("ase", SimulatorSettings(seed=5, wear_from=2)), 60))
    sound = list(itertools.islice(simulator("ase", SimulatorSettings(seed=5)), 60))
    assert [shot.picture for shot in worn[:2]] == [shot.picture for shot in sound[:2]]
    assert worn[-1].picture != sound[-1].picture
    force = [AseLine(5).sample(59, wear).fields["Bond Force"].value for wear in (0.0, 4.0)]
    assert force[0] - force[1] == pytest.approx(4 * 1.6, abs=0.11)
