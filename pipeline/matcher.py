"""Training the matching network of a product, from the good parts and the poses the search finds for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.align import Aligner
from engines.align_settings import AlignSettings
from engines.align_template import reduce_picture
from engines.geometry import Size, Transform, apply, compose, middle, resize_transform, warp_to_template
from engines.imm import fitting_size
from engines.imm_graph import build_imm
from engines.imm_start import NetworkStart
from engines.imm_training import GoodPart, ImmSettings, train_imm
from engines.training_device import TrainingDevice
from schemas.errors import SetupError
from schemas.verdict import AlignmentStatus

Grey = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]

_SAME_PX = 0.1
_MOST_PARTS, _N_TRIED, _N_SHOWN = 128, 64, 4


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """A trained network. `onnx`: one graph, grid sample included. `picture` (h, w) uint8: template, frame, and the
    frame on the template by the network alone, in rows. `n_same` of `n_tried` good parts end, refined from the
    network's start, where they end from the search's.
    """

    onnx: bytes
    picture: Grey
    n_tried: int
    n_same: int


def learn_matcher(
    template: Grey,
    pictures: Sequence[Grey],
    align: AlignSettings,
    *,
    n_steps: int,
    seed: int,
    checkpoint: Path | None,
    progress: Progress,
    device: TrainingDevice = "cpu",
) -> Matcher:
    """The network for `template` (H, W), trained on good `pictures` (h, w) within the capture range of `align`.

    Args: n_steps: of 32 frames, a tenth more by the paper's own loss. checkpoint: file (.npz) that a training
        which was broken off goes on from.
    Raises: MissingExtra without torch; SetupError when no network fits the template.
    """
    size = fitting_size((template.shape[1], template.shape[0]))
    small = reduce_picture(template, size)
    searching = Aligner.build(template, align.model_copy(update={"start": "search"}))
    aligned = [(picture, searching.align(picture)) for picture in pictures]
    kept = [(picture, found) for picture, found in aligned if found.status is not AlignmentStatus.MISALIGNED]
    parts = [_part(picture, found.transform, searching.template_size, size) for picture, found in kept[:_MOST_PARTS]]
    settings = ImmSettings(
        n_steps=n_steps,
        n_paper_steps=n_steps // 10,
        max_angle_deg=align.max_angle_deg,
        max_shift=_reach([found.transform for _, found in kept], searching, align, pictures[0].shape),
        seed=seed,
    )

    def report(step: int, total: int, _loss: float) -> None:
        progress("matching network", step, total)

    weights = train_imm(small, parts, settings, checkpoint=checkpoint, report=report, device=device)
    model = build_imm(small, weights)
    matching = Aligner.build(template, align.model_copy(update={"start": "network"}), model)
    tried = kept[:_N_TRIED]
    n_same = sum(
        _apart_px(matching.align(picture).transform, found.transform, searching) < _SAME_PX for picture, found in tried
    )
    return Matcher(model, _before_and_after(small, parts[:_N_SHOWN], model, align.pixel_aspect), len(tried), n_same)


def _part(picture: Grey, transform: Transform, template_size: Size, size: Size) -> GoodPart:
    """A good picture and its pose at the network's `size`."""
    full = (picture.shape[1], picture.shape[0])
    inner = compose(transform, resize_transform(size, template_size))
    return GoodPart(reduce_picture(picture, size), compose(resize_transform(full, size), inner))


def _reach(transforms: Sequence[Transform], aligner: Aligner, align: AlignSettings, shape: tuple[int, ...]) -> float:
    """Twice the largest shift of a good part, as a share of the picture, at least a twentieth, within what is allowed.

    A frame beyond it is left to the search.
    """
    frame = np.array((shape[1], shape[0]), np.float64)
    at = [apply(transform, middle(aligner.template_size)) for transform in transforms]
    seen = max((float(np.abs((each - (frame - 1) / 2) / frame).max()) for each in at), default=0.0)
    return min(align.max_shift_px / max(aligner.working_size), max(0.05, 2.0 * seen))


def _apart_px(one: Transform, other: Transform, aligner: Aligner) -> float:
    """Largest distance, in template pixels, between where two poses put the part's pixels."""
    ys, xs = np.nonzero(aligner.mask)
    points = np.stack([xs, ys], axis=1)[::61].astype(np.float64)
    grow = float(np.sqrt(abs(np.linalg.det(other[:, :2]))))
    return float(np.linalg.norm(apply(one, points) - apply(other, points), axis=1).max()) / grow


def _before_and_after(template: Grey, parts: Sequence[GoodPart], model: bytes, pixel_aspect: float) -> Grey:
    if not parts:
        raise SetupError("no good part could be aligned; the matching network has nothing to learn from")
    network, size = NetworkStart.load(model, pixel_aspect), (template.shape[1], template.shape[0])
    rows = []
    for part in parts:
        start = network.start(part.picture.astype(np.float32))
        placed = part.picture if start is None else np.asarray(warp_to_template(part.picture, start, size), np.uint8)
        rows.append(np.hstack((template, part.picture, placed)))
    return np.asarray(np.vstack(rows), np.uint8)
