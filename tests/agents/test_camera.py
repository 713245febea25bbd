"""The camera process: identity, pace, and an honest count of what became of every frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agents.backlog import DeliveryLimits
from agents.camera import (
    Camera,
    CameraReport,
    CameraSettings,
    FrameIdentity,
    Pacer,
    Progress,
    Shutter,
    boot_epoch,
    record_of,
    run_camera,
)
from agents.claim_check import ClaimCheck
from agents.frame_publisher import FramePublisher
from agents.frame_sources import RefusedShot, Shot
from agents.spool import Spool
from schemas.frame import Origin, decode_frame
from tests.agents.fake_broker import FakeBroker

PNG = b"\x89PNG\r\n\x1a\n"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SETTINGS = CameraSettings("lab/line1/cam0", boot_epoch(1, "00000001"), "plate", "lot7")


def a_shot(index: int = 0) -> Shot:
    return Shot(PNG + bytes([index]), "image/png", f"unit{index}", "sources_lot")


class Shots:
    """`n` shots; the entries of `refused` are no pictures."""

    description = "shots of a test"

    def __init__(self, n: int, refused: tuple[int, ...] = ()) -> None:
        self._n, self._refused = n, refused

    def __iter__(self) -> Iterator[Shot | RefusedShot]:
        for index in range(self._n):
            yield RefusedShot(f"shot {index} is no picture") if index in self._refused else a_shot(index)


class Studio:
    """Runs a camera against a fake broker and remembers what was said and shown."""

    def __init__(self, folder: Path) -> None:
        self.broker, self.folder = FakeBroker(), folder
        self.said: list[str] = []
        self.shown: list[Progress] = []

    def run(self, source: Shots, shutter: Shutter) -> CameraReport:
        publisher = FramePublisher(
            self.broker.connect,
            Spool(self.folder),
            ClaimCheck(None),
            limits=DeliveryLimits(patience_s=0.2),
            notice=self.said.append,
        )
        return run_camera(source, SETTINGS, publisher, shutter, notice=self.said.append, show=self.shown.append)


def test_a_frame_message_decodes_to_the_frame_that_was_captured():
    frame = Camera(SETTINGS).capture(a_shot(), NOON)
    record = record_of(frame)
    origin = Origin("sightline.frames", 0, 0, 0)
    decoded = decode_frame(record.key, record.value, record.headers, origin)
    assert (decoded.station, decoded.unit_id, decoded.lot, decoded.product) == (
        "lab/line1/cam0",
        "unit0",
        "lot7",
        "plate",
    )
    assert (decoded.captured_at, decoded.epoch, decoded.sequence) == (NOON, SETTINGS.epoch, 0)
    assert decoded.frame_id == frame.frame_id
    assert decoded.picture == frame.picture


def test_frame_ids_follow_from_source_epoch_and_sequence():
    one, same = Camera(SETTINGS), Camera(SETTINGS)
    ids = [one.capture(a_shot(), NOON).frame_id for _ in range(3)]
    assert ids == [same.capture(a_shot(9), NOON).frame_id for _ in range(3)]
    assert len(set(ids)) == 3
    other_boot = Camera(CameraSettings("lab/line1/cam0", boot_epoch(2, "00000002")))
    other_station = Camera(CameraSettings("lab/line1/cam1", SETTINGS.epoch))
    assert {camera.capture(a_shot(), NOON).frame_id for camera in (other_boot, other_station)}.isdisjoint(ids)


def test_ids_from_content_are_the_same_in_every_run_and_differ_by_station():
    def ids(station: str, epoch: str) -> list[str]:
        camera = Camera(CameraSettings(station, epoch, identity=FrameIdentity.CONTENT))
        return [camera.capture(a_shot(index), NOON).frame_id for index in (0, 1, 0)]

    first = ids("lab/line1/cam0", "a")
    assert first == ids("lab/line1/cam0", "b")
    assert first[0] == first[2] != first[1]
    assert first[0] != ids("lab/line1/cam1", "a")[0]


@given(st.integers(min_value=0, max_value=2**44), st.integers(min_value=1, max_value=2**40))
def test_a_later_boot_sorts_after_an_earlier_one(unix_ms: int, later_ms: int):
    assert boot_epoch(unix_ms) < boot_epoch(unix_ms + later_ms)


def test_two_boots_in_one_millisecond_are_told_apart():
    assert len({boot_epoch(5) for _ in range(50)}) == 50


def test_the_lot_of_the_source_counts_when_none_was_given():
    camera = Camera(CameraSettings("lab/line1/cam0", "e"))
    assert camera.capture(a_shot(), NOON).lot == "sources_lot"


def test_delays_do_not_add_up_and_a_long_one_is_not_made_good_in_a_burst():
    now_s = 100.0

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now_s
            now_s += timeout or 0.0
            return False

    stop, pacer, due = Stop(), Pacer(10.0, lambda: now_s), []
    for work_s in (0.03, 0.15, 0.0, 0.0, 5.0, 0.0, 0.0):
        assert pacer.wait(stop)
        due.append(round(now_s - 100.0, 6))
        now_s += work_s
    assert due == [0.0, 0.1, 0.25, 0.3, 0.4, 5.4, 5.5]


def test_a_stopped_pacer_returns_at_once():
    stop = threading.Event()
    stop.set()
    assert not Pacer(0.01).wait(stop)
    assert not Pacer(None).wait(stop)


def test_the_report_counts_captured_acknowledged_and_refused(tmp_path: Path):
    studio = Studio(tmp_path)
    report = studio.run(Shots(10, refused=(3, 4)), Shutter(Pacer(None), threading.Event()))
    assert (report.n_captured, report.n_acknowledged, report.n_refused, report.n_spooled) == (8, 8, 2, 0)
    assert not report.all_delivered
    assert [dict(record.headers)["ce_sequence"] for record in studio.broker.log] == [str(n).encode() for n in range(8)]
    assert "refused: shot 3 is no picture" in studio.said
    assert studio.shown[-1].n_captured == 8


def test_count_is_a_number_of_frames_sent_not_of_files_looked_at(tmp_path: Path):
    report = Studio(tmp_path).run(Shots(100, refused=(0, 1)), Shutter(Pacer(None), threading.Event(), count=5))
    assert (report.n_captured, report.n_acknowledged) == (5, 5)


def test_the_pace_is_kept(tmp_path: Path):
    report = Studio(tmp_path).run(Shots(11), Shutter(Pacer(50.0), threading.Event()))
    assert 0.2 <= report.seconds < 1.0


def test_a_stop_while_the_broker_is_away_ends_soon_and_keeps_the_frames(tmp_path: Path):
    studio = Studio(tmp_path)
    studio.broker.down = True
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started_s = time.monotonic()
    report = studio.run(Shots(10**6), Shutter(Pacer(100.0), stop, stop_drain_s=1.0))
    assert time.monotonic() - started_s < 5.0
    assert report.n_spooled == report.n_captured > 10
    assert not report.all_delivered
    studio.broker.down = False
    again = studio.run(Shots(3), Shutter(Pacer(None), threading.Event()))
    assert again.n_resumed == report.n_captured
    assert again.n_acknowledged == report.n_captured + 3
    assert again.all_delivered


def test_the_wait_at_the_end_may_be_limited(tmp_path: Path):
    studio = Studio(tmp_path)
    studio.broker.silent = True
    report = studio.run(Shots(3), Shutter(Pacer(None), threading.Event(), drain_s=0.3))
    assert (report.n_acknowledged, report.n_spooled) == (0, 3)
