"""From a trained model to a bundle: manifest, golden baseline, parity gate, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.backbone_resnet import load_resnet18
from engines.backbone_student import load_student
from engines.bundle import BASELINE, FOREGROUND, MATCHER, MODEL, REPORT, TEMPLATE, Bundle, bundle_bytes, write_bundle
from engines.features import grid_size
from engines.manifest import Manifest
from engines.parity import measure_parity, probe_frames
from engines.reader import Reader, default_model
from pipeline.baseline import MIN_BASELINE_FRAMES, Baseline, learn_baseline
from pipeline.field_members import FieldMembers
from pipeline.field_reader import FieldReader
from pipeline.folder_inspection import inspect_files
from pipeline.fusion_members import values_of
from pipeline.good_parts import LEAST_GOOD, ColourChoice, PictureSet, check_apart, load_good_parts
from pipeline.inspection import Inspector, RecipeRules
from pipeline.process_signals import Usual, learn_usual, usual_member
from pipeline.provenance import manifest_of
from pipeline.reduction import choose_reduction
from pipeline.report import draw_report
from pipeline.score_map import ScoreMapper
from pipeline.training import Progress, TrainedModel, TrainSettings, sharpened, train_model
from pipeline.training_summary import TrainingSummary, summarise
from pipeline.variations import with_variations
from schemas.errors import InputError, SetupError

_BASELINE_FRAMES = 500
_PARITY_FRAMES = 8


def train_bundle(
    product: str,
    good: Sequence[Path],
    bad: Sequence[Path],
    *,
    backbone: str,
    weights: Path | None,
    colour: ColourChoice,
    settings: TrainSettings,
    created_at: datetime,
    out: Path,
    progress: Progress,
    variations: int = 0,
    fields: FieldMembers | None = None,
) -> TrainingSummary:
    """Train on the pictures at `good`, write the bundle to `out`.

    Args: bad: pictures of defective parts, which sharpen the thresholds (see `calibrate_thresholds`) and nothing else.
        variations: learn also from so many variations of each good picture (see pipeline/variations.py); then one
            golden part is enough. fields: where machine parameters are printed; only the part is scored then.
    Raises: InputError when the pictures cannot be used; SetupError when weights or a backend cannot.
    """
    least = 1 if variations else LEAST_GOOD
    reduction = choose_reduction(settings.decode_reduction, good[0], settings.input_px, fields is not None)
    pictures = load_good_parts(good, colour, least=least, reduction=reduction)
    check_apart(good, bad)
    usual: Usual = {}
    if fields is not None:
        fields.check(product, pictures.size_px)
        settings = replace(settings, part_px=fields.layout.part_px)
        usual = _usual_fields(fields, pictures)
    if variations:
        pictures = with_variations(pictures, variations, settings.seed)
    features = load_backbone(backbone, weights)
    trained = train_model(pictures, features, settings, progress)
    bundle = build_bundle(product, pictures, trained, settings, features.spec.name, created_at)
    bad_scores = _scores_of(bundle, bad, settings.n_threads, progress)
    if bad_scores.size:
        trained = sharpened(trained, bad_scores, settings)
        bundle = build_bundle(product, pictures, trained, settings, features.spec.name, created_at, bad_scores)
    carried = {} if fields is None else fields.members() | usual_member(usual)
    sha256 = write_bundle(out, bundle.manifest, {**bundle.members, **carried})
    out.with_suffix(".report.png").write_bytes(bundle.members[REPORT])
    if trained.matcher is not None:
        out.with_suffix(".matcher.png").write_bytes(_png(trained.matcher.picture))
        if settings.network_checkpoint is not None:
            settings.network_checkpoint.unlink(missing_ok=True)
    return summarise(product, trained, bad_scores, len(bad), out, sha256, settings.seed)


def _usual_fields(fields: FieldMembers, good: PictureSet) -> Usual:
    """What the printed parameters of good parts are, read as the line will read them."""
    reader = FieldReader(fields.layout, fields.reference(), Reader.load(default_model()))
    names = tuple(field.name for field in fields.layout.fields if field.trusted)
    rows = [values_of(reader.read(picture.grey).readings(), names) for picture in good.pictures]
    return learn_usual(names, np.stack(rows), fields.layout.units)


def load_backbone(name: str, weights: Path | None) -> Backbone:
    """The backbone called `name`. Raises: InputError for an unknown name or bad weights; MissingExtra."""
    if name == "student":
        return load_student(weights)
    if name == "resnet18":
        return load_resnet18(weights)
    raise InputError(f"backbone {name!r} is unknown; choose student or resnet18")


def _scores_of(bundle: Bundle, pictures: Sequence[Path], n_threads: int, progress: Progress) -> NDArray[np.float64]:
    """Frame scores of `pictures`, without those that cannot be inspected."""
    if not pictures:
        return np.array([])
    inspector = Inspector(bundle, backend="onnxruntime", n_threads=n_threads)
    try:
        rules = RecipeRules.of_manifest(bundle.manifest)
        answers = inspect_files(inspector, pictures, rules, progress)
        return np.array([each.score for each in answers if each.score is not None])
    finally:
        inspector.close()


def build_bundle(
    product: str,
    good: PictureSet,
    trained: TrainedModel,
    settings: TrainSettings,
    backbone: str,
    created_at: datetime,
    bad_scores: NDArray[np.float64] | None = None,
) -> Bundle:
    """The complete bundle, verified and with its parity report.

    Raises: SetupError when a backend of this machine disagrees with the reference: the bundle must not be used.
    """
    manifest = manifest_of(product, good, trained, settings, backbone, created_at, bad_scores)
    members = {MODEL: trained.onnx, TEMPLATE: _png(trained.template)}
    if trained.foreground is not None:
        members[FOREGROUND] = _png(np.asarray(trained.foreground * 255, np.uint8))
    if len(trained.aligned) >= MIN_BASELINE_FRAMES:
        members[BASELINE] = _baseline(trained).to_bytes()
    if trained.matcher is not None:
        members[MATCHER] = trained.matcher.onnx
    members[REPORT] = draw_report(product, trained, bad_scores, settings.seed)
    frames = [np.ascontiguousarray(each.tensor) for each in trained.aligned[:_PARITY_FRAMES]]
    return gated(manifest, members, frames)


def gated(manifest: Manifest, members: Mapping[str, bytes], frames: Sequence[NDArray[np.uint8]]) -> Bundle:
    """The bundle of these members with its parity report, on `frames` (3, H, W) uint8 and probes of the template.

    Raises: SetupError when a backend of this machine disagrees with the reference: the bundle must not be used.
    """
    name = f"bundle of {manifest.product}"
    draft = Bundle.from_bytes(bundle_bytes(manifest, members), name)
    foreground = draft.foreground()
    grid = grid_size(manifest.input_size_px, int(manifest.score.grid_stride_px))
    mapper = ScoreMapper.build(manifest.score, manifest.input_size_px, grid)
    parity = measure_parity(
        draft,
        [*frames, *probe_frames(draft.template())],
        lambda grid: mapper.frame_score(mapper.map(grid, foreground)),
    )
    if not parity.holds:
        wrong = ", ".join(
            f"{e.backend} {e.version}: difference {e.max_difference:.3g}, {e.n_flips} flips {e.detail}".strip()
            for e in parity.entries
            if not e.holds
        )
        raise SetupError(f"parity gate: {wrong} (tolerance {parity.tolerance:.3g}); remove or update that backend")
    return Bundle.from_bytes(bundle_bytes(manifest.model_copy(update={"parity": parity}), members), name)


def _baseline(trained: TrainedModel) -> Baseline:
    """The golden baseline: what good parts show, and how restless each place of theirs is."""
    commissioned = trained.aligned[:_BASELINE_FRAMES]
    return learn_baseline(
        [each.grey for each in commissioned],
        hits=trained.hits[: len(commissioned)],
        valid=[each.valid for each in commissioned],
        foreground=trained.foreground,
    )


def _png(picture: NDArray[np.uint8]) -> bytes:
    """`picture` (H, W) or (H, W, 3) RGB as PNG bytes."""
    done, png = cv2.imencode(".png", picture[:, :, ::-1] if picture.ndim == 3 else picture)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as PNG")
    return png.tobytes()
