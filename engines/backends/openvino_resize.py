"""Doubling a grid whose channels lie last, on OpenVINO: sums of shifted copies instead of its Interpolate.

Cells are tiles, each parted in two (`half_pixel`); in bundles of older versions they are points with means put between
them (`asymmetric`).

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
            parted = operation.get_attributes()["coordinate_transformation_mode"] == "half_pixel"
            for axis in (1, 2):
                grid = _parted(grid, axis) if parted else _doubled(grid, axis)
            operation.output(0).replace(grid)


def _doubles(operation: Any) -> bool:
    """Whether an Interpolate makes two cells of every one along rows and along columns."""
    settings = operation.get_attributes()
    modes = tuple(settings[f"{name}mode"] for name in ("", "shape_calculation_"))
    scales = operation.input_value(1).get_node()
    return (
        modes == ("linear_onnx", "scales")
        and settings["coordinate_transformation_mode"] in ("half_pixel", "asymmetric")
        and not any((*settings["pads_begin"], *settings["pads_end"]))
        and len(operation.input_values()) == 2
        and scales.get_type_name() == "Constant"
        and list(scales.data) == [1, 2, 2, 1]
    )


def _parted(grid: Any, axis: int) -> Any:
    """`grid` with two cells for every one along `axis`: three quarters of it, and one of its neighbour on that side."""
    from openvino import opset13

    own = opset13.multiply(grid, np.float32(0.75))
    halves = [
        opset13.add(own, opset13.multiply(_moved(grid, axis, step), np.float32(0.25))) for step in (-1, 1)
    ]  # fmt: skip
    return _alternating(halves, axis, list(grid.get_shape()))


def _doubled(grid: Any, axis: int) -> Any:
    """`grid` with the mean of every cell and the next along `axis` put between them; the last one comes twice."""
    from openvino import opset13

    means = opset13.multiply(opset13.add(grid, _moved(grid, axis, 1)), np.float32(0.5))
    return _alternating([grid, means], axis, list(grid.get_shape()))


def _moved(grid: Any, axis: int, step: int) -> Any:
    """At each cell its neighbour before (`step` -1) or after (1) along `axis`; at the end the cell itself."""
    from openvino import opset13

    n = list(grid.get_shape())[axis]
    if step > 0:
        return opset13.concat([_cut(grid, axis, 1, n), _cut(grid, axis, n - 1, n)], axis)
    return opset13.concat([_cut(grid, axis, 0, 1), _cut(grid, axis, 0, n - 1)], axis)


def _cut(grid: Any, axis: int, start: int, end: int) -> Any:
    from openvino import opset13

    return opset13.slice(grid, _whole(start), _whole(end), _whole(1), _whole(axis))


def _alternating(halves: list[Any], axis: int, shape: list[int]) -> Any:
    """Cells of the two `halves`, each of `shape`, in turns along `axis`."""
    from openvino import opset13

    pairs = opset13.concat([opset13.unsqueeze(each, _whole(axis + 1)) for each in halves], axis + 1)
    shape[axis] *= 2
    return opset13.reshape(pairs, _whole(*shape), False).output(0)


def _whole(*values: int) -> Any:
    from openvino import opset13

    return opset13.constant(np.array(values, np.int64))
