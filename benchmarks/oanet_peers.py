"""Peers of OANet: XGBoost on the printed fields, FiLM, concatenation; all learn the same parts in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.oanet_lessons import CLEAN
from engines.oanet_statistics import standard_of, tensors_of
from engines.oanet_training import OanetTrainer
from pipeline.intra_bagging import make_voice

if TYPE_CHECKING:
    import torch

_HIDDEN = 64


def xgboost_alone(
    values: NDArray[np.float64], defective: NDArray[np.bool_], train: NDArray[np.int64], seed: int
) -> object:
    """XGBoost with default settings on the fields as printed."""
    return make_voice("xgboost", seed).fit(values[train], defective[train].astype(int))


class Film:
    """Feature-wise linear modulation: an MLP of the fields scales and shifts the last stage's channels.

    The image trunk is that of the concatenating peer, trained on the same versions of pictures and fields.
    Source: Perez et al., FiLM (2018).
    """

    def __init__(self, trunk: OanetTrainer) -> None:
        self._trunk = trunk

    def train(self, train: NDArray[np.int64]) -> None:
        """Modulation and head on the trunk's stages, with fields dropped at random."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        lessons, settings = self._trunk.lessons, self._trunk.settings
        self._standard = standard_of(lessons.fields[0, train])
        with torch.no_grad():
            stages = torch.stack([self._trunk.stages(train, version) for version in lessons.learnt(masks=True)], 1)
        torch.manual_seed(settings.seed)
        width, n_fields = stages.shape[2], lessons.fields.shape[2]
        self._film = torch.nn.Sequential(
            torch.nn.Linear(2 * n_fields, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, 2 * width)
        )
        self._head = torch.nn.Sequential(torch.nn.Linear(width, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, 1))
        learn = [*self._film.parameters(), *self._head.parameters()]
        optimiser = torch.optim.SGD(
            learn, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
        )
        rng = np.random.default_rng([settings.seed, 8])
        truth = torch.from_numpy(lessons.defective[train].astype(np.float32))
        for _ in range(settings.n_epochs):
            order = rng.permutation(len(train))
            for begin in range(0, len(order), settings.batch):
                here = order[begin : begin + settings.batch]
                fields = lessons.fields[rng.integers(0, len(lessons.fields), len(here)), train[here]]
                optimiser.zero_grad()
                logit = self._logit(stages[here, rng.integers(0, stages.shape[1], len(here))], fields)
                torch.autograd.backward([entropy(logit, truth[here])])
                optimiser.step()

    def predict(
        self, parts: NDArray[np.int64], fields: NDArray[np.float64], version: int = CLEAN
    ) -> NDArray[np.float64]:
        """(n,) probabilities; `fields` (n, F) described."""
        import torch

        with torch.no_grad():
            logit = self._logit(self._trunk.stages(parts, version), fields)
            return np.asarray(logit.sigmoid().double().numpy(), np.float64)

    def _logit(self, stages: torch.Tensor, fields: NDArray[np.float64]) -> torch.Tensor:
        import torch

        mean, scale = self._standard
        values, missing = tensors_of((fields - mean) * scale)
        gain, shift = self._film(torch.cat((values, missing), 1)).chunk(2, 1)
        logit: torch.Tensor = self._head((stages * (1 + gain) + shift).relu())[:, 0]
        return logit
