"""Teaching a bundle to fuse picture and machine parameters, from labelled pictures."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from engines.backends.tensorrt_device import has_device
from engines.bundle import LAYOUT, Bundle, write_bundle
from engines.oanet_branches import image_branch
from engines.oanet_graph import TOLERANCE, backend_difference, oanet_graph
from engines.oanet_lessons import CLEAN, N_TURNS, Progress, prepare_lessons
from engines.oanet_training import OanetSettings
from engines.training_device import TrainingDevice, cpu_threads
from pipeline.field_reader import FieldReader
from pipeline.fusion_members import fusion_members
from pipeline.gate import lost_share
from pipeline.labelled_parts import LabelledParts, load_labelled
from pipeline.oanet_training import Fusion, train_fusion
from pipeline.preparation import Preparation
from pipeline.process_signals import PICTURE, Usual, learn_usual, usual_member
from schemas.errors import InputError, MissingExtra, SetupError

log = logging.getLogger(__name__)
SIDE_PX = 160
_HELD_SHARE = 0.2
_PARITY_PARTS = 32
_MANY_PARTS = 2000
"""More are learnt one way round alone: a part takes 2.5 MB of memory in all versions, 0.9 MB in these."""
_MANY_FALSE_CALLS = 200.0


class FusionSummary(BaseModel):
    """What fusing promises: on parts it did not learn, at the threshold the bundle carries."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size_bytes: int
    n_good: int
    n_defective: int
    n_held: int
    recall: float
    f1: float
    false_calls_per_1000: float
    threshold: float
    branch: str

    def text(self) -> str:
        """A line for people."""
        warning = ""
        if self.false_calls_per_1000 > _MANY_FALSE_CALLS:
            warning = "\ntoo many good parts would be stopped: give more labelled pictures, hundreds of each kind"
        return (
            f"fused with machine parameters from {self.n_good} good and {self.n_defective} defective parts; of "
            f"{self.n_held} parts held back {100 * self.recall:.1f} % of the defective ones are found "
            f"(F1 {self.f1:.3f}), {self.false_calls_per_1000:.0f} of 1000 good ones stopped{warning}"
            f"\nsha256 {self.sha256}"
        )


def check_extras() -> None:
    """Raises: MissingExtra unless what teaching needs is installed."""
    for module, extra in (("torch", "train"), ("xgboost", "boost")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(module, extra, "teaching a bundle to fuse")


def teach_fusion(
    path: Path,
    labels: Path,
    *,
    branch: str = "student",
    weights: Path | None = None,
    seed: int = 0,
    progress: Progress,
    device: TrainingDevice = "cpu",
    n_threads: int = 1,
) -> FusionSummary:
    """Train on the pictures of `labels` and write the bundle at `path` anew, with what fuses in it.

    A fifth of the parts is held back for the summary; nothing is fitted to them.
    Raises: InputError when labels, pictures or layout will not do; MissingExtra without torch or XGBoost; SetupError
        when the backends disagree about the network.
    """
    bundle = Bundle.open(path)
    reader = FieldReader.of_bundle(bundle)
    if reader is None:
        raise InputError(f"{path} has no {LAYOUT}: give --fields with --labels")
    part_px = reader.layout.part_px
    if part_px is None:
        raise InputError("the layout does not say where the part is; add part_px = [x, y, width, height] to it")
    parts = load_labelled(labels, reader, part_px, Preparation.of_bundle(bundle).decode_rules, progress)
    good = parts.crops[~parts.defective]
    order = np.random.default_rng([seed, 7]).permutation(len(parts.defective))
    held, train = np.split(order, [round(_HELD_SHARE * len(order))])
    with cpu_threads(n_threads):
        lessons = prepare_lessons(
            image_branch(branch, weights), parts.crops, parts.values[None], parts.defective, SIDE_PX, seed, progress,
            device=device, n_turns=N_TURNS if len(parts.defective) <= _MANY_PARTS else 1,
        )  # fmt: skip
        fusion = train_fusion(
            parts.names, lessons, parts.values, np.sort(train), OanetSettings(seed=seed, device=device),
            progress=progress,
        )  # fmt: skip
    check_backends(oanet_graph(fusion.trainer.network()), lessons.images_uint8(order[:_PARITY_PARTS], CLEAN),
                   fusion.bag.description.describe(parts.values[order[:_PARITY_PARTS]]))  # fmt: skip
    members = fusion_members(fusion, part_px, float(np.mean([lost_share(crop) for crop in good])))
    members |= usual_member(_usual(parts, fusion, reader.layout.units))
    sha256 = write_bundle(path, bundle.manifest, {**bundle.members, **members})
    voices, _ = fusion.voices(held, parts.values[held])
    called, truth = fusion.rule.probability(voices) >= fusion.rule.threshold, parts.defective[held]
    hits = int((called & truth).sum())
    return FusionSummary(
        sha256=sha256,
        size_bytes=path.stat().st_size,
        n_good=int((~parts.defective[train]).sum()),
        n_defective=int(parts.defective[train].sum()),
        n_held=len(held),
        recall=hits / max(int(truth.sum()), 1),
        f1=2 * hits / max(int(called.sum() + truth.sum()), 1),
        false_calls_per_1000=1000 * float(called[~truth].mean()) if (~truth).any() else 0.0,
        threshold=fusion.rule.threshold,
        branch=branch,
    )


def _usual(parts: LabelledParts, fusion: Fusion, units: Mapping[str, str | None]) -> Usual:
    """What fields and pictures of the good parts say."""
    good = np.flatnonzero(~parts.defective)
    values = parts.values[good]
    embeddings = fusion.trainer.predict(good, fusion.bag.description.describe(values)).embedding
    distance = np.array([fusion.reference.distance(each) for each in embeddings])
    return learn_usual((*parts.names, PICTURE), np.column_stack((values, distance)), units)


def check_backends(model: bytes, pictures: NDArray[np.uint8], fields: NDArray[np.float64]) -> None:
    """A TensorRT that cannot build the network is passed over, with a warning: lines run it on ONNX Runtime.

    Raises: SetupError when a backend of this machine differs from ONNX Runtime.
    """
    for backend in ("openvino", "tensorrt") if has_device() else ("openvino",):
        try:
            apart = backend_difference(model, pictures, fields, backend)
        except SetupError as fault:
            if backend != "tensorrt":
                raise
            log.warning("the fusing network is not compared on tensorrt: %s", fault)
            continue
        if apart > TOLERANCE:
            raise SetupError(
                f"parity gate: {backend} and onnxruntime differ by {apart:.2g} on the fusing network ({TOLERANCE:g} is "
                f"allowed); update {backend}"
            )
