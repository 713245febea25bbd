"""Doubling a grid whose channels lie last, on OpenVINO: sums of shifted copies instead of its Interpolate.

OpenVINO takes the rows of such a grid for channels and needs longer for it than for a third of the backbone.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def quicken_doubling(network: Any) -> None:
    """Change every bilinear doubling of (N, h, w, C) in `network` (an `openvino.Model`, static shapes); same values."""
    for operation in network.get_ordered_ops():
        if operation.get_type_name() == "Interpolate" and _doubles(operation):
            grid = operation.input_value(0)
            for axis in (1, 2):
                grid = _doubled(grid, axis)
            operation.output(0).replace(grid)


def _doubles(operation: Any) -> bool:
    """Whether an Interpolate puts a mean between any two cells of a row and of a column, and repeats the last."""
    settings = operation.get_attributes()
    modes = tuple(settings[f"{name}mode"] for name in ("", "shape_calculation_", "coordinate_transformation_"))
    scales = operation.input_value(1).get_node()
    return (
        modes == ("linear_onnx", "scales", "asymmetric")
        and not any((*settings["pads_begin"], *settings["pads_end"]))
        and len(operation.input_values()) == 2
        and scales.get_type_name() == "Constant"
        and list(scales.data) == [1, 2, 2, 1]
    )


def _doubled(grid: Any, axis: int) -> Any:
    """`grid` with the mean of every cell and the next along `axis` put between them; the last one comes twice."""
    from openvino import opset13

    def whole(*values: int) -> Any:
        return opset13.constant(np.array(values, np.int64))

    shape = list(grid.get_shape())
    last = whole(shape[axis])
    following = opset13.slice(grid, whole(1), last, whole(1), whole(axis))
    end = opset13.slice(grid, whole(shape[axis] - 1), last, whole(1), whole(axis))
    means = opset13.multiply(opset13.add(grid, opset13.concat([following, end], axis)), np.float32(0.5))
    pairs = opset13.concat([opset13.unsqueeze(each, whole(axis + 1)) for each in (grid, means)], axis + 1)
    shape[axis] *= 2
    return opset13.reshape(pairs, whole(*shape), False).output(0)
