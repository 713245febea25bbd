"""TensorRT on an NVIDIA GPU (see tensorrt_network.py) as an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.backends.tensorrt_network import TensorRtNetwork
from engines.engine import CheckedEngine
from schemas.errors import SetupError


class TensorRtEngine(CheckedEngine):
    """The graph's own types without TF32 (see tensorrt_plan.py), static shape of one frame, one stream of its own."""

    backend = "tensorrt"
    precision = "f32"

    def __init__(self, network: TensorRtNetwork, input_size_px: tuple[int, int]) -> None:
        super().__init__(input_size_px)
        self.version = network.version
        self._network = network
        (self._input,), (self._output,) = network.inputs, network.outputs

    @classmethod
    def load(
        cls, model: bytes, input_size_px: tuple[int, int], bundle_sha256: str, cache_dir: Path | None = None
    ) -> TensorRtEngine:
        """The engine of `model`, from the plan cache or built now (tens of seconds).

        Args: cache_dir: where plans are kept; None builds anew each time.
        Raises: MissingExtra without tensorrt or pycuda; SetupError without a GPU or for a model it cannot build.
        """
        network = TensorRtNetwork.load(model, bundle_sha256, cache_dir)
        try:
            _check_contract(network, input_size_px)
            return cls(network, input_size_px)
        except BaseException:
            network.close()
            raise

    def _infer_one(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._network.run({self._input: frame})[self._output]

    def _release(self) -> None:
        self._network.close()


def _check_contract(network: TensorRtNetwork, input_size_px: tuple[int, int]) -> None:
    width, height = input_size_px
    inputs, outputs = (
        [(name, str(host.dtype), host.shape) for name, host in tensors.items()]
        for tensors in (network.inputs, network.outputs)
    )
    good = (
        len(inputs) == len(outputs) == 1
        and inputs[0][1:] == ("uint8", (1, 3, height, width))
        and outputs[0][1] == "float32"
    )
    if not good:
        raise SetupError(
            f"model.onnx takes {inputs} and gives {outputs}; a bundle's model takes one uint8 (N, 3, {height}, "
            f"{width}) and gives one float32 (N, 1, h, w)"
        )
