"""The peers of the accuracy table: PaDiM and PatchCore on ResNet-18's features, written after their papers.

PaDiM (Defard et al. 2020): stages 1 to 3 at stride 4, 100 channels drawn at random, a Gaussian a place with 0.01 on
the diagonal, Mahalanobis distance. PatchCore (Roth et al. 2022): stages 2 and 3 at stride 8, each averaged over 3x3,
a bank of one patch in ten picked greedily, distance to the nearest; a frame's score is its greatest, weighted by how
far the neighbours of the bank's patch lie (b = 9). Both maps are smoothed by 4 px. One departure, for two cores: the
greedy choice is among at most 40 000 patches drawn at random, and takes 8000 of them at most. The weights here are
the same as ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone, add_backbone
from engines.onnx_graph import GraphBuilder

Float = NDArray[np.float32]
_SMOOTH_PX = 4.0
_PADIM_CHANNELS, _PADIM_RIDGE = 100, 0.01
_BANK_SHARE, _N_NEIGHBOURS, _CHUNK = 0.1, 9, 2048
_POOL, _MOST_BANK, _SKETCH_DIMENSIONS = 40_000, 8_000, 128


class Peer(Protocol):
    """A method that is fitted to good pictures (3, H, W) uint8 and then scores one."""

    def fit(self, good: Sequence[NDArray[np.uint8]]) -> None:
        """Learn what is usual."""
        ...

    def score(self, picture: NDArray[np.uint8]) -> tuple[Float, float]:
        """(H, W) score map, and the frame's score."""
        ...


class Stages:
    """ResNet-18's stages of pictures of one size, by ONNX Runtime; kept, as several peers see the same ones."""

    def __init__(self, backbone: Backbone, size_px: tuple[int, int], n_threads: int = 2) -> None:
        import onnxruntime

        graph = GraphBuilder()
        levels = add_backbone(graph, backbone, "picture")
        outputs: dict[str, tuple[str, list[int | str]]] = {
            name: (tensor, ["n", f"c_{name}", f"h_{name}", f"w_{name}"]) for name, tensor in levels.items()
        }
        model = graph.build({"picture": (onnx.TensorProto.UINT8, ["n", 3, size_px[1], size_px[0]])}, outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._kept: dict[bytes, list[Float]] = {}

    def of(self, picture: NDArray[np.uint8]) -> list[Float]:
        """(C, h, w) of stages 1, 2 and 3."""
        name = hashlib.sha256(picture.tobytes()).digest()
        if name not in self._kept:
            self._kept[name] = [stage[0] for stage in self._session.run(None, {"picture": picture[None]})]
        return self._kept[name]


class Padim:
    """See the module."""

    def __init__(self, stages: Stages, seed: int = 0) -> None:
        self._stages = stages
        self._seed = seed
        self._mean = self._root = np.zeros(0, np.float32)
        self._chosen = np.zeros(0, np.int64)

    def fit(self, good: Sequence[NDArray[np.uint8]]) -> None:
        """A mean and the inverse Cholesky factor of the covariance at each place."""
        n_channels = sum(len(stage) for stage in self._stages.of(good[0]))
        self._chosen = np.sort(np.random.default_rng(self._seed).permutation(n_channels)[:_PADIM_CHANNELS])
        z = np.stack([self._embed(picture) for picture in good]).reshape(len(good), _PADIM_CHANNELS, -1)
        self._mean = z.mean(0)
        centred = (z - self._mean).transpose(2, 1, 0)
        covariance = centred @ centred.transpose(0, 2, 1) / max(len(good) - 1, 1)
        covariance += _PADIM_RIDGE * np.eye(_PADIM_CHANNELS, dtype=np.float32)
        self._root = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)

    def score(self, picture: NDArray[np.uint8]) -> tuple[Float, float]:
        """Mahalanobis distances."""
        z = self._embed(picture)
        away = (z.reshape(len(z), -1) - self._mean).T[:, :, None]
        grid = np.sqrt(np.square((self._root @ away)[:, :, 0]).sum(1)).reshape(z.shape[1:])
        score_map = _to_picture(grid, picture)
        return score_map, float(score_map.max())

    def _embed(self, picture: NDArray[np.uint8]) -> Float:
        stages = self._stages.of(picture)
        size = (stages[0].shape[2], stages[0].shape[1])
        wide = [np.repeat(np.repeat(s, -(-size[1] // s.shape[1]), 1), -(-size[0] // s.shape[2]), 2) for s in stages]
        return np.concatenate([s[:, : size[1], : size[0]] for s in wide])[self._chosen]


class PatchCore:
    """See the module."""

    def __init__(self, stages: Stages, seed: int = 0) -> None:
        self._stages = stages
        self._seed = seed
        self._bank = self._squares = np.zeros(0, np.float32)

    def fit(self, good: Sequence[NDArray[np.uint8]]) -> None:
        """One patch in ten of all good pictures, see the module."""
        rng = np.random.default_rng(self._seed)
        patches = [self._embed(picture)[0] for picture in good]
        total = sum(len(each) for each in patches)
        share = min(1.0, _POOL / total)
        pool = np.concatenate([each[rng.permutation(len(each))[: round(share * len(each))]] for each in patches])
        n_bank = min(max(1, round(_BANK_SHARE * total)), _MOST_BANK, len(pool))
        sketch = rng.standard_normal((pool.shape[1], _SKETCH_DIMENSIONS)).astype(np.float32)
        self._bank = pool[farthest_points(pool @ sketch, n_bank, int(rng.integers(len(pool))))]
        self._squares = np.square(self._bank).sum(1)

    def score(self, picture: NDArray[np.uint8]) -> tuple[Float, float]:
        """Distances to the nearest patch of the bank; the frame's weighted as in the paper's eq. 7."""
        patches, shape = self._embed(picture)
        nearest, which = self._nearest(patches)
        worst = int(nearest.argmax())
        weight = self._weight(patches[worst], int(which[worst]), float(nearest[worst]))
        return _to_picture(nearest.reshape(shape), picture), weight * float(nearest[worst])

    def _nearest(self, patches: Float) -> tuple[Float, NDArray[np.int64]]:
        away = np.full(len(patches), np.inf, np.float32)
        which = np.zeros(len(patches), np.int64)
        for start in range(0, len(self._bank), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            squares = self._squares[chunk] - 2 * (patches @ self._bank[chunk].T)
            best = squares.argmin(1)
            least = squares[np.arange(len(patches)), best]
            closer = least < away
            away[closer], which[closer] = least[closer], start + best[closer]
        return np.sqrt(np.maximum(away + np.square(patches).sum(1), 0)), which

    def _weight(self, patch: Float, nearest: int, distance: float) -> float:
        around = self._squares - 2 * (self._bank @ self._bank[nearest])
        neighbours = self._bank[np.argpartition(around, min(_N_NEIGHBOURS, len(around) - 1))[:_N_NEIGHBOURS]]
        away = np.sqrt(np.square(neighbours - patch).sum(1))
        return float(1 - np.exp(distance - away.max()) / np.exp(away - away.max()).sum())

    def _embed(self, picture: NDArray[np.uint8]) -> tuple[Float, tuple[int, int]]:
        """(h * w, 384) patches and (h, w)."""
        _, second, third = self._stages.of(picture)
        size = (second.shape[2], second.shape[1])
        fine = cv2.blur(second.transpose(1, 2, 0), (3, 3))
        coarse = cv2.resize(_wide_blur(third), size, interpolation=cv2.INTER_LINEAR)
        both = np.concatenate([fine, coarse], axis=2)
        return np.ascontiguousarray(both.reshape(-1, both.shape[2]), np.float32), (size[1], size[0])


def farthest_points(points: Float, n: int, first: int) -> NDArray[np.int64]:
    """(n,) indices into `points` (N, d): `first`, then each time the point farthest from those taken.

    Source: the greedy k-centre choice of PatchCore's algorithm 1.
    """
    squares = np.square(points).sum(1)
    away = np.full(len(points), np.inf, np.float32)
    chosen = np.zeros(n, np.int64)
    chosen[0] = first
    for i in range(1, n):
        last = chosen[i - 1]
        np.minimum(away, squares - 2 * (points @ points[last]) + squares[last], out=away)
        away[last] = -np.inf
        chosen[i] = away.argmax()
    return chosen


def _wide_blur(stage: Float) -> Float:
    return np.asarray(cv2.blur(stage.transpose(1, 2, 0), (3, 3)), np.float32)


def _to_picture(grid: Float, picture: NDArray[np.uint8]) -> Float:
    size = (picture.shape[2], picture.shape[1])
    wide = cv2.resize(np.asarray(grid, np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), _SMOOTH_PX), np.float32)
