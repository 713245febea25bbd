"""CnOCR, the reference reader: finds and reads printed text, offline, with the model files of RapidOCR's wheel.

Slow (seconds a picture) and heavy (it imports torch): for finding a layout and for comparing with, never on the line.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import EngineFault, MissingExtra, SetupError

_RECOGNISER, _DETECTOR = "PP-OCRv6_rec_small.onnx", "PP-OCRv6_det_small.onnx"


@dataclass(frozen=True, slots=True)
class FoundText:
    """A piece of text in a picture: edges in px, and CnOCR's own score."""

    text: str
    score: float
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float


class CnOcrReader:
    """A loaded CnOCR."""

    def __init__(self, ocr: Any) -> None:
        self._ocr = ocr

    @classmethod
    def load(cls) -> CnOcrReader:
        """Load both models from files; nothing is downloaded. Takes about 10 s.

        Raises: MissingExtra without the packages; SetupError when the model files are not where they belong.
        """
        folder = _models_folder()
        try:
            from cnocr import CnOcr
        except ImportError as exc:
            raise MissingExtra("cnocr", "ocr", "finding printed fields") from exc
        try:
            ocr = CnOcr(
                rec_model_name="multi_PP-OCRv6_small",
                det_model_name="multi_PP-OCRv6_det_small",
                rec_model_fp=str(folder / _RECOGNISER),
                det_model_fp=str(folder / _DETECTOR),
            )
        except Exception as exc:  # it raises whatever its parts raise
            raise SetupError(f"CnOCR cannot be set up: {exc}; install again: pip install 'sightline[ocr]'") from exc
        logging.getLogger("RapidOCR").setLevel(logging.WARNING)
        return cls(ocr)

    def find(self, picture: NDArray[np.uint8]) -> list[FoundText]:
        """Every piece of text in `picture` (H, W, 3) uint8 RGB. Raises: EngineFault when CnOCR fails."""
        try:
            found = self._ocr.ocr(picture)
        except Exception as exc:
            raise EngineFault(f"CnOCR failed on a picture of shape {picture.shape}: {exc}") from exc
        pieces = []
        for each in found:
            corners = np.asarray(each["position"], np.float64)
            left, top = corners.min(axis=0)
            right, bottom = corners.max(axis=0)
            text = str(each["text"]).strip()
            if text:
                pieces.append(
                    FoundText(text, float(each["score"]), float(left), float(top), float(right), float(bottom))
                )
        return pieces

    def read(self, line: NDArray[np.uint8]) -> tuple[str, float]:
        """Text and score of one line, (H, W) grey or (H, W, 3) RGB uint8. Raises: EngineFault when CnOCR fails."""
        return self.read_many([line])[0]

    def read_many(self, lines: Sequence[NDArray[np.uint8]]) -> list[tuple[str, float]]:
        """`read` for several lines in one call. Raises: EngineFault when CnOCR fails."""
        colour = [line if line.ndim == 3 else np.repeat(line[:, :, None], 3, axis=2) for line in lines]
        try:
            answers = self._ocr.ocr_for_single_lines(colour)
        except Exception as exc:
            raise EngineFault(f"CnOCR failed on {len(lines)} lines: {exc}") from exc
        if len(answers) != len(lines):  # it logs an error of its own and answers nothing
            raise EngineFault(f"CnOCR answered {len(answers)} of {len(lines)} lines; its log says why")
        return [(str(each["text"]), float(each["score"])) for each in answers]


def _models_folder() -> Path:
    """Where RapidOCR's wheel keeps its models."""
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise MissingExtra("rapidocr", "ocr", "finding printed fields")
    folder = Path(spec.origin).parent / "models"
    absent = [name for name in (_RECOGNISER, _DETECTOR) if not (folder / name).is_file()]
    if absent:
        raise SetupError(f"{folder} lacks {', '.join(absent)}; install rapidocr==3.9.2, whose wheel carries them")
    return folder
