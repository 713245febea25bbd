"""`sightline inspect`: verdicts on picture files, by the very code the line runs, without Kafka or a database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.inspection import Inspection, Inspector, RecipeRules, Refusal
    from schemas.frame import Frame
    from schemas.verdict import Verdict

STATION = "local/inspect/files"
"""Station of verdicts on files: they come from no camera."""


class BackendName(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"


def picture_files(given: Sequence[Path]) -> list[Path]:
    """Every file given, and every picture directly in a folder given. Raises: InputError for what does not exist."""
    from pipeline.good_parts import picture_paths
    from schemas.errors import InputError

    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            paths += picture_paths(path)
        elif path.is_file():
            paths.append(path)
        else:
            raise InputError(f"{path} does not exist; give picture files or folders")
    return paths


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle made by `sightline train`.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures (JPEG, PNG, BMP, TIFF), or folders of them.")],
    overlay: Annotated[
        Path | None,
        typer.Option(help="Folder to write one PNG a picture into: heat map, the template's edges, each defect's box."),
    ] = None,
    review: Annotated[float | None, typer.Option(help="Review threshold instead of the bundle's.")] = None,
    fail: Annotated[float | None, typer.Option(help="Fail threshold instead of the bundle's.")] = None,
    min_area_px: Annotated[int | None, typer.Option(min=1, help="Least defect area instead of the bundle's.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="x,y,width,height in pixels of the template: never scored.")
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="auto measures and takes the fastest.")] = BackendName.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the engine.")] = 1,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 unless every picture passes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a picture on stdout.")] = False,
) -> None:
    """Decide on pictures from disk. Exit 0: all were inspected; 1: a picture could not be; 2: the bundle is wrong.

    A JSON line is a `sightline.verdict.v1` whose `frame_id` is the path; for a picture that cannot be decoded it is
    {"frame_id": ..., "refused": {"reason": ..., "detail": ...}}, which on the line would be a dead letter.
    """
    from deploy.engine_cache import engine_cache
    from deploy.options import boxes_of
    from engines.bundle import Bundle
    from pipeline.inspection import Inspector

    paths = picture_files(pictures)
    inspector = Inspector(Bundle.open(bundle), backend=backend.value, n_threads=threads, cache_dir=engine_cache())
    rules = _rules(inspector, review, fail, min_area_px)
    rules = rules if not ignore else replace(rules, ignore_px=boxes_of(ignore))
    n_refused = n_stopped = 0
    for path, frame, answer in _inspections(inspector, paths, rules, overlay is not None):
        verdict = _verdict(inspector, frame, rules, answer)
        n_refused += verdict is None
        n_stopped += verdict is not None and verdict.outcome != "pass"
        typer.echo(_json_line(frame, answer, verdict) if as_json else _text_line(path, answer, verdict))
        if overlay is not None:
            _write_overlay(overlay / _overlay_name(path, paths), frame, inspector, rules, answer)
    inspector.close()
    if n_refused or (exit_code and n_stopped):
        raise typer.Exit(1)


def _rules(inspector: Inspector, review: float | None, fail: float | None, min_area_px: int | None) -> RecipeRules:
    from pipeline.inspection import RecipeRules
    from schemas.errors import InputError
    from schemas.verdict import Thresholds

    own = RecipeRules.of_manifest(inspector.bundle.manifest)
    review = own.thresholds.review if review is None else review
    fail = max(own.thresholds.fail, review) if fail is None else fail
    if review > fail:
        raise InputError(f"--review {review} exceeds the fail threshold {fail}; give --fail as well")
    return replace(own, thresholds=Thresholds(review=review, fail=fail), min_area_px=min_area_px or own.min_area_px)


def _inspections(
    inspector: Inspector, paths: Sequence[Path], rules: RecipeRules, with_heat_maps: bool
) -> Iterator[tuple[Path, Frame, Inspection | Refusal]]:
    """Each file as a frame, and what became of it."""
    from pipeline.inspection import InspectionRequest, Refusal
    from pipeline.picture_header import MalformedPictureError, content_type_of
    from schemas.errors import DeadLetterReason
    from schemas.frame import Frame

    for path in paths:
        content = path.read_bytes()
        captured_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        try:
            content_type = content_type_of(content)
        except MalformedPictureError as error:
            frame = Frame(str(path), STATION, "application/octet-stream", captured_at, content)
            yield path, frame, Refusal(DeadLetterReason.CORRUPT_PICTURE, str(error))
            continue
        request = InspectionRequest(content, content_type)
        answer = inspector.inspect([request], rules, heat_maps="all" if with_heat_maps else "none")[0]
        yield path, Frame(str(path), STATION, content_type, captured_at, content), answer


def _verdict(inspector: Inspector, frame: Frame, rules: RecipeRules, answer: Inspection | Refusal) -> Verdict | None:
    """The verdict as the line would publish it, without a recipe revision; None when the picture was refused."""
    from importlib.metadata import version

    from pipeline.inspection import Refusal
    from pipeline.verdicts import DecidedBy, verdict_of
    from schemas.recipe import Recipe
    from schemas.verdict import verdict_id

    if isinstance(answer, Refusal):
        return None
    bundle = inspector.bundle
    recipe = Recipe(station=STATION, product=bundle.manifest.product, revision=1, bundle_sha256=bundle.sha256,
                    thresholds=rules.thresholds, min_area_px=rules.min_area_px, ignore_px=rules.ignore_px)  # fmt: skip
    by = DecidedBy(
        datetime.now(UTC), version("sightline"), inspector.backend, inspector.precision, bundle.template_sha256
    )
    verdict = verdict_of(frame, recipe.product, recipe, answer, by)
    provenance = verdict.provenance.model_copy(update={"recipe_revision": None})
    identity = verdict_id(STATION, frame.frame_id, bundle.sha256, None)
    return verdict.model_copy(update={"provenance": provenance, "verdict_id": identity})


def _json_line(frame: Frame, answer: Inspection | Refusal, verdict: Verdict | None) -> str:
    from pipeline.inspection import Refusal
    from schemas.verdict import encode_verdict

    if isinstance(answer, Refusal) or verdict is None:
        assert isinstance(answer, Refusal)
        return json.dumps({"frame_id": frame.frame_id, "refused": {"reason": answer.reason, "detail": answer.detail}})
    return encode_verdict(verdict).decode()


def _text_line(path: Path, answer: Inspection | Refusal, verdict: Verdict | None) -> str:
    from pipeline.inspection import Refusal

    if isinstance(answer, Refusal) or verdict is None:
        assert isinstance(answer, Refusal)
        return f"refused      {path}  {answer.reason}: {answer.detail}"
    score = "" if verdict.score is None else f"  score {verdict.score:.4f}"
    reason = "" if verdict.reason is None else f"  {verdict.reason.value}"
    places = "".join(f"  at {x},{y} {w}x{h} px" for x, y, w, h in (defect.bbox_px for defect in verdict.defects[:3]))
    more = f" and {len(verdict.defects) - 3} more" if len(verdict.defects) > 3 else ""
    n_known = sum(field.value is not None for field in verdict.fields)
    fields = f"  {n_known} of {len(verdict.fields)} fields" if verdict.fields else ""
    detail = f"  {answer.detail}" if answer.detail else ""
    return f"{verdict.outcome.value:<12} {path}{score}{reason}{places}{more}{fields}{detail}"


def _overlay_name(path: Path, paths: Sequence[Path]) -> str:
    """Its own name; with its folder's before it where two pictures share one."""
    shared = sum(other.stem == path.stem for other in paths) > 1
    return f"{path.parent.name}-{path.stem}.overlay.png" if shared else f"{path.stem}.overlay.png"


def _write_overlay(
    path: Path, frame: Frame, inspector: Inspector, rules: RecipeRules, answer: Inspection | Refusal
) -> None:
    """Draw the verdict on the frame as sent; nothing for a picture that was refused."""
    from dataclasses import replace

    import cv2

    from pipeline.decode import decode
    from pipeline.inspection import Refusal
    from pipeline.overlay import draw_verdict

    if isinstance(answer, Refusal):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = decode(frame.picture, frame.content_type, replace(inspector.decode_rules, reduction=1)).grey
    score = "" if answer.score is None else f" {answer.score:.3f} (review {rules.thresholds.review:.3f})"
    picture = draw_verdict(
        grey,
        outcome=answer.outcome,
        caption=f"{answer.outcome.value}{score}",
        defects=answer.defects,
        score_map=answer.score_map,
        template_grey=inspector.bundle.template_grey(),
        transform=answer.transform if answer.score is not None else None,
        thresholds=rules.thresholds,
    )
    cv2.imwrite(str(path), picture)
