"""The simulated line: known truth, random access, and pictures an inspection could be fooled by."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.plate import DefectKind, FixtureScratch, SimulatedLine, encode_png, write_good_parts
from pipeline.plate_defects import RANDOM_KINDS, PaintedLayers, paint_defect


def test_a_unit_is_the_same_picture_whatever_was_asked_for_before_it():
    forwards = SimulatedLine(3, size_px=128)
    pictures = [forwards.unit(index).picture for index in range(6)]
    backwards = SimulatedLine(3, size_px=128)
    for index in reversed(range(6)):
        np.testing.assert_array_equal(backwards.unit(index).picture, pictures[index])


def test_another_seed_makes_other_units_with_other_names():
    one, other = SimulatedLine(1, size_px=128).unit(0), SimulatedLine(2, size_px=128).unit(0)
    assert one.unit_id != other.unit_id
    assert (one.picture != other.picture).mean() > 0.5


def test_a_good_unit_has_an_empty_mask_and_no_kind():
    unit = SimulatedLine(3, size_px=128, defect_rate=0.0).unit(5)
    assert unit.good
    assert not unit.mask.any()


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_a_painted_fault_changes_the_plate_inside_its_mask_and_hardly_elsewhere(kind):
    line = SimulatedLine(3, size_px=256)
    for seed in range(5):
        layers = PaintedLayers.of(line._design)
        paint_defect(kind, layers, line._design, np.random.default_rng(seed))
        change = np.abs(layers.plate - line._design.plate)
        truth = layers.mask > 127
        assert 8 < truth.sum() < 0.05 * truth.size
        assert change[truth].mean() > 0.05
        near = cv2.dilate(layers.mask, np.ones((41, 41), np.uint8)) > 127
        assert change[~near].max() < 0.02


def test_a_fault_differs_from_the_same_unit_without_it_only_near_its_mask():
    good = SimulatedLine(9, size_px=256, defect_rate=0.0)
    scratched = SimulatedLine(9, size_px=256, defect_rate=0.0, fixture=FixtureScratch(0))
    for index in range(3):
        unit = scratched.unit(index)
        change = cv2.absdiff(unit.picture, good.unit(index).picture)
        near = cv2.dilate(unit.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert change[unit.mask].mean() > 25
        assert change[~near].max() <= 6


def test_the_fixture_scratches_one_place_of_the_part_from_its_first_unit_on():
    line = SimulatedLine(4, size_px=256, defect_rate=0.0, fixture=FixtureScratch(first_unit=10))
    assert all(line.unit(index).good for index in range(10))
    centres = []
    for index in range(10, 22):
        unit = line.unit(index)
        assert unit.kinds == (DefectKind.FIXTURE_SCRATCH,)
        rows, columns = np.nonzero(unit.mask)
        turn = np.deg2rad(unit.pose.angle_deg)
        x, y = columns.mean() - 127.5 - unit.pose.dx_px, rows.mean() - 127.5 - unit.pose.dy_px
        centres.append((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)))
    assert np.ptp(np.array(centres), axis=0).max() < 4.0


def test_the_hit_rate_is_the_share_of_units_scratched():
    line = SimulatedLine(4, size_px=64, defect_rate=0.0, fixture=FixtureScratch(0, hit_rate=0.3))
    hits = sum(not line.unit(index).good for index in range(300))
    assert 60 < hits < 120


def test_random_faults_are_as_rare_as_asked():
    line = SimulatedLine(4, size_px=128, defect_rate=0.1)
    units = [line.unit(index) for index in range(400)]
    faulty = [unit for unit in units if not unit.good]
    assert 20 < len(faulty) < 65
    assert {kind for unit in faulty for kind in unit.kinds} == set(RANDOM_KINDS)
    assert all(unit.mask.any() for unit in faulty)


def test_the_stated_pose_is_where_the_plate_lies():
    line = SimulatedLine(5, size_px=256, defect_rate=0.0)
    for index in range(4):
        unit = line.unit(index)
        plate = cv2.morphologyEx((unit.picture > 60).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
        contour = max(cv2.findContours(plate, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
        (x, y), (width, height), angle = cv2.minAreaRect(contour)
        angle = (angle + 45 if width > height else angle - 45) % 180 - 45
        assert abs(x - 127.5 - unit.pose.dx_px) < 1.5
        assert abs(y - 127.5 - unit.pose.dy_px) < 1.5
        assert abs(-angle - unit.pose.angle_deg) < 0.5


def test_an_impossible_rate_is_refused():
    with pytest.raises(ValueError, match=r"hit rate 1\.5"):
        FixtureScratch(0, 1.5)
    with pytest.raises(ValueError, match="defect_rate 2"):
        SimulatedLine(defect_rate=2)


def test_good_parts_are_written_as_readable_pictures_in_order(tmp_path: Path):
    paths = write_good_parts(tmp_path / "good", 3, size_px=128)
    assert [path.name for path in paths] == sorted(path.name for path in (tmp_path / "good").iterdir())
    picture = np.asarray(cv2.imread(str(paths[0]), cv2.IMREAD_UNCHANGED), np.uint8)
    assert picture.shape == (128, 128)
    assert encode_png(picture) == paths[0].read_bytes()


def test_a_unit_is_drawn_fast_enough_for_two_hundred_a_second():
    line = SimulatedLine(7)
    times_ms = []
    for index in range(30):
        start = time.perf_counter()
        line.unit(index)
        times_ms.append((time.perf_counter() - start) * 1e3)
    assert min(times_ms) < 5.0
