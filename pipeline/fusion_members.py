"""What a bundle carries to fuse picture and machine parameters, and what fuses them on the line. No torch, no XGBoost.

oanet.onnx   the network, engines/oanet_graph.py
oanet.trees  the bag's serving trees, engines/boosted_trees.py
oanet.npz    usual fields, known causes, the gate's reference, the fusion rule, names, the part's place, plain arrays
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.boosted_trees import BoostedTrees
from engines.bundle import Bundle
from engines.oanet_graph import OanetSession, oanet_graph
from engines.oanet_lessons import resize_crop
from pipeline.decode import Picture
from pipeline.fault_causes import FaultCauses
from pipeline.field_description import FieldDescription
from pipeline.fusion import FusionRule, Voices
from pipeline.gate import GateReference, Trust, lost_share
from pipeline.usual_fields import UsualFields
from schemas.errors import SetupError
from schemas.verdict import Box, FieldReading, Gate

if TYPE_CHECKING:
    from pipeline.oanet_training import Fusion

NETWORK, TREES, RULES = "oanet.onnx", "oanet.trees", "oanet.npz"


@dataclass(frozen=True, slots=True)
class Fused:
    """The fused verdict on one frame: `probability` of a defect, whether that is one, the gate's weights, its time.

    `picture_distance`: log of the mean squared deviation of the picture's embedding from training, in variances.
    """

    probability: float
    defective: bool
    gate: Gate
    fuse_ms: float
    picture_distance: float


def fusion_members(fusion: Fusion, part_px: Box, usual_lost: float) -> dict[str, bytes]:
    """Files for the bundle, by name. Args: usual_lost: share of black pixels that good parts show by themselves."""
    description, reference, rule, net = fusion.bag.description, fusion.reference, fusion.rule, fusion.trainer.network()
    usual, causes = description.usual, description.causes
    arrays: dict[str, NDArray[Any]] = {
        "names": np.array(usual.names),
        "mean": usual.mean,
        "scale": usual.scale,
        "correlation": usual.correlation,
        "cause_shares": causes.shares,
        "cause_means": causes.means,
        "cause_covariances": causes.covariances,
        "gate_mean": reference.mean,
        "gate_variance": reference.variance,
        "gate_edges": reference.edges,
        "gate_shares": reference.shares,
        "rule": np.array([*rule.weights, rule.offset, rule.threshold]),
        "part_px": np.array(part_px),
        "side_px": np.array(net.side_px),
        "usual_lost": np.array(usual_lost),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # np.savez writes the time of day
        for name, value in arrays.items():
            content = io.BytesIO()
            np.save(content, value, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return {NETWORK: oanet_graph(net), TREES: fusion.bag.trees.to_bytes(), RULES: buffer.getvalue()}


class Fuser:
    """A bundle's fusion, loaded. The same frame and fields give the same answer. Not for two threads at once."""

    def __init__(self, members: Mapping[str, bytes], arrays: Mapping[str, NDArray[Any]], n_threads: int) -> None:
        self.names = tuple(str(name) for name in arrays["names"])
        usual = UsualFields(self.names, arrays["mean"], arrays["scale"], arrays["correlation"])
        causes = FaultCauses(*(arrays[f"cause_{name}"] for name in ("shares", "means", "covariances")))
        if causes.means.shape[1] != len(self.names):
            raise ValueError(f"causes of {causes.means.shape[1]} fields, but {len(self.names)} names")
        self._description = FieldDescription(usual, causes)
        self.reference = GateReference(*(arrays[f"gate_{name}"] for name in ("mean", "variance", "edges", "shares")))
        image, fields, fused, offset, threshold = arrays["rule"].tolist()
        self.rule = FusionRule((image, fields, fused), offset, threshold)
        x, y, w, h = arrays["part_px"].tolist()
        self.part_px: Box = (x, y, w, h)
        self._side_px, self._usual_lost = int(arrays["side_px"]), float(arrays["usual_lost"])
        self._trees = BoostedTrees.from_bytes(members[TREES])
        self._session = OanetSession(members[NETWORK], n_threads=n_threads)
        blank = np.zeros((y + h, x + w), np.uint8)
        self.fuse(Picture(blank, None), ())  # the first frame then takes as long as any other

    @classmethod
    def of_bundle(cls, bundle: Bundle, n_threads: int = 1) -> Fuser | None:
        """What fuses, None when the bundle carries nothing to. Raises: SetupError when it is incomplete or damaged."""
        if NETWORK not in bundle.members:
            return None
        arrays = bundle.arrays(RULES)
        if arrays is None or TREES not in bundle.members:
            raise SetupError(f"the bundle has {NETWORK} but not {RULES} and {TREES}; train it again with --labels")
        if "cause_means" not in arrays:
            raise SetupError(
                f"the bundle's {RULES} is of an older Sightline without causes; train it again with --labels"
            )
        try:
            return cls(bundle.members, arrays, n_threads)
        except (KeyError, ValueError, TypeError) as exc:
            raise SetupError(f"bundle member {RULES} is damaged ({exc}); train it again with --labels") from exc

    def fuse(self, picture: Picture, readings: tuple[FieldReading, ...]) -> Fused:
        """The fused verdict on a frame of the bundle's size. Raises: EngineFault when the network fails."""
        start = time.perf_counter()
        crop = part_crop(picture, self.part_px)
        values = values_of(readings, self.names)[None]
        described = self._description.describe(values)
        planes = np.ascontiguousarray(resize_crop(crop, self._side_px).transpose(2, 0, 1))[None]
        heard = self._session.infer(planes, described)
        lost = max(lost_share(crop) - self._usual_lost, 0.0) / max(1 - self._usual_lost, 1e-6)
        gate = Trust(0.0, 0.0, lost, float(np.isnan(values).mean())).gate
        image, fused = heard.image.astype(np.float64), heard.fused.astype(np.float64)
        voices = Voices(image, self._trees.predict(described), fused, np.array([gate.image]))
        probability = float(self.rule.probability(voices)[0])
        distance = self.reference.distance(heard.embedding[0])
        took_ms = 1000 * (time.perf_counter() - start)
        return Fused(probability, probability >= self.rule.threshold, gate, took_ms, distance)


def part_crop(picture: Picture, part_px: Box) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB of the part; grey pictures have three equal channels."""
    x, y, w, h = part_px
    pixels = picture.colour if picture.colour is not None else np.repeat(picture.grey[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[y : y + h, x : x + w])


def values_of(readings: tuple[FieldReading, ...], names: tuple[str, ...]) -> NDArray[np.float64]:
    """(F,) numbers in the order of `names`; NaN where a field is missing, abstained or no number."""
    known = {each.name: each.value for each in readings}
    numbers = (known.get(name) for name in names)
    return np.array([each if isinstance(each, float | int) else np.nan for each in numbers], np.float64)
