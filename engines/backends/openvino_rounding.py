"""An int8 model on OpenVINO: it rounds where the model says, no more and no less.

OpenVINO may take the sum of two convolutions into the second of them, and then leaves out the rounding before the sum:
scores move by some percent. It does so only where nothing else reads the other term, so each term is given a second
reader, of one element. It also averages steps instead of what they stand for and rounds the mean: averages are given
maxima to read, which it does not take of steps. Models whose factors are not those of engines/quantise.py meet halves
that fall either way, and are refused.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from schemas.errors import SetupError

_LEVELS = 255
_PROCESSORS = ("x86_64", "amd64")


def is_rounded(network: Any) -> bool:
    """Whether `network` (an `openvino.Model` as read from ONNX) rounds anything to 8 bits."""
    return any(operation.get_type_name() == "FakeQuantize" for operation in network.get_ops())


def keep_roundings(network: Any) -> None:
    """Change `network` (an `openvino.Model` as read from ONNX) so that OpenVINO leaves out none of its roundings.

    It gets outputs of one element behind its own. Raises: SetupError when its roundings cannot be followed here.
    """
    import openvino
    from openvino import opset13

    if platform.machine().lower() not in _PROCESSORS:
        raise SetupError(
            f"an int8 model runs on OpenVINO on x86-64 alone, this is {platform.machine()}: use onnxruntime, "
            "or train with --precision f32"
        )
    roundings = [each for each in network.get_ops() if each.get_type_name() == "FakeQuantize"]
    if not all(_in_whole_steps(each) for each in roundings if not _of_weights(each)):
        raise SetupError(
            "the bundle's int8 model was made before OpenVINO could follow its rounding: it runs on onnxruntime; train "
            "it again for openvino"
        )
    sums = [operation for operation in network.get_ordered_ops() if operation.get_type_name() == "Add"]
    kinds = (openvino.Type.u8, openvino.Type.i8)
    terms = (_steps_behind(each, kinds) for add in sums for each in add.input_values())
    first, one = (opset13.constant(np.full(4, value, np.int64)) for value in (0, 1))
    network.add_outputs([opset13.slice(term, first, one, one).output(0) for term in terms if term is not None])
    for average in [operation for operation in network.get_ops() if operation.get_type_name() == "AvgPool"]:
        values = opset13.maximum(average.input_value(0), np.finfo(np.float32).min)
        average.input(0).replace_source_output(values.output(0))


def _in_whole_steps(rounding: Any) -> bool:
    """Whether a FakeQuantize rounds to multiples of 1, as engines/quantise.py writes it."""
    low, high = (rounding.input_value(i).get_node() for i in (1, 2))
    constant = low.get_type_name() == high.get_type_name() == "Constant"
    return constant and bool(np.all(high.data - low.data == _LEVELS))


def _of_weights(rounding: Any) -> bool:
    """Whether a FakeQuantize rounds constants: once, to what they are already."""
    return bool(rounding.input_value(0).get_node().get_type_name() == "Constant")


def _steps_behind(value: Any, kinds: tuple[Any, ...]) -> Any:
    """The tensor of one of the 8-bit types `kinds` that `value` stands for; None when it is not one."""
    while value.get_element_type() not in kinds:
        operation = value.get_node()
        if operation.get_type_name() not in ("Multiply", "Subtract", "Convert"):
            return None
        value = operation.input_value(0)
    return value
