"""The demo: a whole line on this machine, with a simulated camera, told as it happens."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer
from rich.rule import Rule

from agents.activation import Wishes, activate
from agents.database import connect
from deploy.demo_products import DemoProduct
from deploy.demo_story import Story, story_topics, tell
from deploy.highlights import Highlights
from deploy.line import Line
from deploy.settings import Settings, kafka_python_options
from schemas.errors import SetupError
from schemas.store import ContentStore, read_reference
from schemas.topics import Topics

STATION = "demo/line1/cam0"
FPS = 12.0
_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What a demo showed. `confirmed_after_s` counts from the camera's start; None: no alert was confirmed.

    `n_read`: printed parameters that were read.
    """

    n_frames: int
    n_read: int
    confirmed_after_s: float | None
    picture: Path | None


def run_demo(
    settings: Settings, product: DemoProduct, seconds: float, out: Highlights, stopping: Callable[[], bool]
) -> DemoResult:
    """Train `product` (in the background), start the line, run the camera for `seconds`, tell the story.

    Raises: SetupError when a service or the training fails.
    """
    state_dir = settings.state_dir
    state_dir.mkdir(parents=True, exist_ok=True)
    bundle_path = state_dir / f"{product.name}.bundle"
    training = _Training(product, bundle_path)
    training.start()
    line = Line(settings, lambda sentence: out.console.print(f"[dim]{sentence}", highlight=False))

    def put_in_force(in_force: Settings) -> None:
        if training.is_alive():
            out.console.print(f"[dim]training the recipe of {product.name} from good parts", highlight=False)
        training.result()
        _activate(in_force, product, bundle_path)

    try:
        line.start(put_in_force)
        return _watch(line, product, seconds, out, stopping)
    finally:
        out.console.print("[dim]stopping the line", highlight=False)
        line.stop()


def _watch(
    line: Line, product: DemoProduct, seconds: float, out: Highlights, stopping: Callable[[], bool]
) -> DemoResult:
    settings, topics = line.settings, Topics(line.settings.topic_prefix)
    consumer = KafkaConsumer(*story_topics(topics), auto_offset_reset="latest", **kafka_python_options(settings))
    consumer.poll(timeout_ms=2000)
    camera = _start_camera(settings, product, int(seconds * FPS))
    story = Story(out, time.monotonic(), product.alert_cause)
    out.event(Rule(f"the line runs: {FPS:g} parts a second; {product.opening}"))
    try:
        ends_at_s = story.began_at_s + seconds + _SETTLE_S
        while time.monotonic() < ends_at_s and not stopping():
            for records in consumer.poll(timeout_ms=200).values():
                tell(story, topics, records, time.monotonic())
            line.tend()
    finally:
        camera.terminate()
        camera.wait(20)
        consumer.close()
    picture = _save_picture(story, settings.state_dir / "alert.png")
    shown = str(shown_path(picture)) if picture else None
    story.summarise(settings.postgres_url, shown, product.questions)
    return DemoResult(sum(story.outcomes.values()), story.n_read, story.confirmed_after_s, picture)


def shown_path(path: Path) -> Path:
    """`path` as a person in this folder would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _start_camera(settings: Settings, product: DemoProduct, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deploy.cli", "camera", "--source", f"/{STATION}", "--product", product.name]
    command += [*product.camera, "--fps", str(FPS), "--count", str(count), "--linger-ms", "0"]
    command += ["--kafka", settings.kafka_url, "--state", str(settings.state_dir)]
    log = (settings.state_dir / "logs" / "camera.log").open("ab")
    with log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _activate(settings: Settings, product: DemoProduct, bundle_path: Path) -> None:
    with connect(settings.postgres_url, application="sightline demo") as connection, connection.transaction():
        activate(
            connection,
            ContentStore(settings.bundles_url),
            bundle_path.read_bytes(),
            station=STATION,
            product=product.name,
            wishes=Wishes(),
            name=str(bundle_path),
        )


def _save_picture(story: Story, path: Path) -> Path | None:
    if story.alert is None or story.alert.gradient_map is None:
        return None
    path.write_bytes(read_reference(story.alert.gradient_map))
    return path


class _Training(threading.Thread):
    """Makes the demo's bundle while the services start; one from an earlier run is used again."""

    def __init__(self, product: DemoProduct, bundle_path: Path) -> None:
        super().__init__(name="training", daemon=True)
        self._product = product
        self._bundle_path = bundle_path
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            if not _is_usable(self._bundle_path):
                self._product.train(self._bundle_path)
        except Exception as error:  # handed to the main thread by result()
            self._error = error

    def result(self) -> None:
        """Wait for the bundle. Raises: whatever training raised."""
        self.join()
        if self._error is not None:
            raise self._error


def _is_usable(path: Path) -> bool:
    from deploy.composition import sightline_version
    from engines.bundle import Bundle

    if not path.exists():
        return False
    try:
        return Bundle.open(path).manifest.version == sightline_version()
    except SetupError:
        return False
