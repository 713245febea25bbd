"""Pictures on disk through an Inspector, one by one, with errors that name the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.inspection import Inspection, InspectionRequest, Inspector, RecipeRules, Refusal
from pipeline.picture_header import MalformedPictureError, content_type_of
from schemas.errors import InputError

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


def inspect_files(
    inspector: Inspector, paths: Sequence[Path], rules: RecipeRules, progress: Progress
) -> Iterator[Inspection]:
    """What the line would find in each picture, in order.

    Raises: InputError for a file that cannot be read or is no picture.
    """
    for done, path in enumerate(paths):
        progress("inspecting", done, len(paths))
        try:
            content = path.read_bytes()
            request = InspectionRequest(content, content_type_of(content))
        except (OSError, MalformedPictureError) as exc:
            raise InputError(f"{path} is not a picture that can be read: {exc}") from exc
        answer = inspector.inspect([request], rules, heat_maps="none")[0]
        if isinstance(answer, Refusal):
            raise InputError(f"{path} cannot be used: {answer.detail}")
        yield answer
    progress("inspecting", len(paths), len(paths))
