"""Parts of the ASE-like machine on a running line: trained, activated, sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaProducer

from agents.activation import Wishes, activate
from agents.database import connect
from pipeline.ase_line import AseLine, AseSample
from pipeline.bundling import train_bundle
from pipeline.field_members import FieldMembers
from pipeline.good_parts import picture_paths
from pipeline.layout_search import encode_reference, find_layout
from pipeline.training import TrainSettings
from schemas.store import ContentStore
from schemas.verdict import Verdict
from tests.line.bad_frames import headers
from tests.line.conftest import PREFIX
from tests.line.ledger import Ledger
from tests.line.line_process import LineProcess
from tests.pipeline.panels import COLUMNS, grey_of, pieces_of_sample, samples

PRODUCT = "ase"
ASE_LINE = AseLine(3)


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame to send: `parameters` is the JSON of `ce_parameters`, `sequence` its place in the camera's order."""

    frame_id: str
    picture: bytes
    parameters: str | None = None
    sequence: int | None = None


def good_parts(n: int) -> list[AseSample]:
    """The first `n` good parts of the line that look good, too."""
    parts = (ASE_LINE.sample(index) for index in range(10 * n + 100))
    found = (part for part in parts if not part.defective and part.shown)
    return [next(found) for _ in range(n)]


def layout_members() -> FieldMembers:
    """The layout of the line's machine, as `sightline layout` would save it."""
    parts = samples(COLUMNS)
    layout, reference, _ = find_layout(
        PRODUCT, [part.picture for part in parts], [grey_of(part.picture) for part in parts],
        [pieces_of_sample(part, COLUMNS) for part in parts],
    )  # fmt: skip
    return FieldMembers(layout, encode_reference(reference), "layout.toml")


def train_ase(folder: Path, colour: str = "grey") -> Path:
    """A bundle that reads the printed parameters, trained from 24 good parts written to `folder`."""
    for part in good_parts(24):
        (folder / f"{part.unit_id}.jpg").write_bytes(part.jpeg)
    train_bundle(
        PRODUCT, picture_paths(folder), (), backbone="student", weights=None,
        colour="rgb" if colour == "rgb" else "grey", settings=TrainSettings(motion="none", input_px=160),
        created_at=datetime(2030, 1, 1, tzinfo=UTC), out=folder / "ase.bundle",
        progress=lambda what, done, total: None, fields=layout_members(),
    )  # fmt: skip
    return folder / "ase.bundle"


def activate_ase(line: LineProcess, bundle: Path, station: str) -> None:
    """Put `bundle` in force at `station`, with thresholds that no part reaches, and wait until the line knows."""
    with connect(line.postgres) as connection, connection.transaction():
        store = ContentStore(f"file://{line.state_dir / 'bundles'}")
        wishes = Wishes(review=1e3, fail=1e4)  # whatever the dots look like: this is about the fields
        activate(connection, store, bundle.read_bytes(), station=station, product=PRODUCT, wishes=wishes)
    in_force = line.query("SELECT count(*) FROM (SELECT DISTINCT station, product FROM sightline.recipe) AS recipe")
    line.wait_for_recipes(in_force[0][0])


def send(line: LineProcess, station: str, shots: Sequence[Shot]) -> dict[str, Verdict]:
    """Send `shots` in order; their verdicts, once all are there, by frame."""
    producer = KafkaProducer(bootstrap_servers=line.kafka, acks="all")
    for shot in shots:
        attributes = {"ce_product": PRODUCT, "ce_parameters": shot.parameters}
        if shot.sequence is not None:
            attributes |= {"ce_sequence": str(shot.sequence), "ce_epoch": "boot1"}
        pairs = headers(shot.frame_id, station, "image/jpeg", **attributes)
        producer.send(f"{PREFIX}frames", key=station.encode(), value=shot.picture, headers=list(pairs)).get(timeout=60)
    producer.close()
    ledger = Ledger(line, PREFIX, line.state_dir / "bundles", [station])
    ledger.wait_for(len(shots))
    return {verdict.frame_id: verdict for verdict in ledger.verdicts()}
