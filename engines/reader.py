"""The fast reader: printed lines to text by a small convolutional net and CTC, with a probability for the whole line.

Its weights are ours (engines/reader_training.py makes them from rendered text) and ship as reader.npz.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.ctc_kernel import decode_lines
from engines.line_crop import CROP_HEIGHT_PX
from engines.onnx_session import cpu_options, cpu_session
from schemas.errors import EngineFault, SetupError

CHARACTERS = "0123456789+-.,:%/°µΩ²*()=<>#?" + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What can be read, in the order of the net's classes; class 0 is the blank before them."""
STRIDE_PX = 2
"""Crop pixels a step of the net."""


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a line says, without spaces. `probability` that the net gives to exactly this text, 0 to 1."""

    text: str
    probability: float


class Reader:
    """A loaded reader. `read` may be called from one thread at a time."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, model: bytes, n_threads: int = 1) -> Reader:
        """A session of ONNX Runtime on `model`, (N, 20, W) uint8 -> (N, classes, W / 2) float32 log probabilities.

        Raises: SetupError when it is not such a model.
        """
        try:
            session = cpu_session(model, cpu_options(n_threads))
        except Exception as exc:  # the binding raises a private class per status code
            raise SetupError(f"the reader's model cannot be loaded by ONNX Runtime: {exc}") from exc
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or inputs[0].shape[1] != CROP_HEIGHT_PX or outputs[0].shape[1] != len(CHARACTERS) + 1:
            raise SetupError(
                f"the reader's model takes {inputs[0].shape} and gives {outputs[0].shape}; this version needs "
                f"(N, {CROP_HEIGHT_PX}, W) and (N, {len(CHARACTERS) + 1}, S): build the bundle again"
            )
        reader = cls(session)
        reader.read(np.zeros((1, CROP_HEIGHT_PX, 32), np.uint8))  # compiles the decoder
        return reader

    def read(self, crops: NDArray[np.uint8]) -> list[ReadText]:
        """Read lines.

        Args: crops: (N, CROP_HEIGHT_PX, W) uint8, light text on dark ground (see engines/line_crop.py).
        Raises: EngineFault when ONNX Runtime fails.
        """
        if len(crops) == 0:
            return []
        try:
            (logs,) = self._session.run(None, {"crops": crops})
        except Exception as exc:
            raise EngineFault(f"the reader failed: {exc}") from exc
        labels, lengths, probabilities = decode_lines(np.ascontiguousarray(logs))
        return [ReadText(text_of(labels[i, : lengths[i]]), float(probabilities[i])) for i in range(len(crops))]


def text_of(labels: Sequence[int] | NDArray[np.integer[Any]]) -> str:
    """The text of class numbers without blanks."""
    return "".join(CHARACTERS[int(label) - 1] for label in labels)


def labels_of(text: str) -> list[int]:
    """Class numbers of `text` without its spaces. Raises: ValueError for a character that cannot be read."""
    return [CHARACTERS.index(character) + 1 for character in text if character != " "]


def default_model() -> bytes:
    """The shipped reader as an ONNX model. Raises: SetupError when the weights are missing or altered."""
    from engines.reader_net import READER_WEIGHTS, load_weights, reader_onnx

    return reader_onnx(load_weights(Path(READER_WEIGHTS)))
