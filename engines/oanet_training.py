"""Training of OANet: both branches and their alignment first, then refinement and the head that fuses. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.oanet import ALIGNED, HIDDEN, REFINED, Oanet, initial_arrays
from engines.oanet_branches import N_STAGES
from engines.oanet_lessons import CLEAN, Lessons, Progress
from engines.oanet_statistics import principal_components, standard_of, tensors_of
from engines.oanet_torch import (
    LearntBackbone,
    alignment_loss,
    embed,
    external_stages,
    fused_logit,
    image_stages,
    single_logit,
    told_by_place,
)
from engines.training_device import TrainingDevice

if TYPE_CHECKING:
    import torch

_PART = 64


@dataclass(frozen=True, slots=True)
class OanetSettings:
    """How to train; rate, decay and epochs as in the paper. `alignment`: weight of the alignment loss.

    `fields`: False trains the image branch alone. `masks`: mask learning. `refine_epochs`: of the last head alone.
    `more_epochs`: of learning on with more parts. `all_stages`: before refinement the head sees every stage, not the
    last alone.
    """

    n_epochs: int = 30
    refine_epochs: int = 30
    more_epochs: int = 10
    all_stages: bool = False
    batch: int = 32
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    alignment: float = 0.1
    fields: bool = True
    masks: bool = True
    seed: int = 0
    device: TrainingDevice = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Probabilities (n,) of a defect: image alone, fields alone, both before and after refinement; (n, E) embedding."""

    image: NDArray[np.float64]
    external: NDArray[np.float64]
    aligned: NDArray[np.float64]
    fused: NDArray[np.float64]
    embedding: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class OanetTrainer:
    """A network in training on the parts `train` of `lessons`."""

    lessons: Lessons
    settings: OanetSettings
    tensors: dict[str, Any] = field(default_factory=dict)
    backbone: LearntBackbone | None = None

    def train(self, train: NDArray[np.int64], progress: Progress | None = None) -> None:
        """Both branches, then principal components and the head behind them."""
        self._begin(train)
        self._learn(train, self.settings.n_epochs, np.random.default_rng([self.settings.seed, 1]), progress)

    def learn_on(self, train: NDArray[np.int64], progress: Progress | None = None) -> None:
        """Learn the parts `train`, more than before, from where it stands."""
        self._learn(train, self.settings.more_epochs, np.random.default_rng([self.settings.seed, 3]), progress)

    def _learn(
        self, train: NDArray[np.int64], n_epochs: int, rng: np.random.Generator, progress: Progress | None
    ) -> None:
        import torch

        if self.backbone is not None:
            self.backbone.train(True)
        parameters = [*self.tensors.values(), *(self.backbone.parameters() if self.backbone else [])]
        learn = [each for each in parameters if each.requires_grad]
        optimiser = torch.optim.SGD(
            learn, self.settings.learning_rate, self.settings.momentum, weight_decay=self.settings.weight_decay
        )
        n_steps = n_epochs * -(-len(train) // self.settings.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(n_steps, 1))
        for epoch in range(n_epochs):
            order = rng.permutation(train)
            for begin in range(0, len(order), self.settings.batch):
                optimiser.zero_grad()
                loss = self._loss(order[begin : begin + self.settings.batch], rng)
                torch.autograd.backward([loss])
                torch.nn.utils.clip_grad_norm_(learn, 5.0)
                optimiser.step()
                schedule.step()
            if progress is not None:
                progress("epochs", epoch + 1, n_epochs)
        if self.backbone is not None:
            self.backbone.train(False)
        if self.settings.fields:
            self._refine(train, rng)

    def predict(self, parts: NDArray[np.int64], fields: NDArray[np.float64], version: int = CLEAN) -> Predictions:
        """What it says of `parts` in a version of their pictures, with `fields` (n, F), NaN where missing."""
        import torch

        found: list[tuple[torch.Tensor, ...]] = []
        with torch.no_grad():
            for begin in range(0, len(parts), _PART):
                here = slice(begin, begin + _PART)
                image = self._image(parts[here], version)
                external = external_stages(self.tensors, *self._told(fields[here]))
                embedding = embed(self.tensors, image)
                logits = (
                    single_logit(self.tensors, "image", image),
                    single_logit(self.tensors, "external", external),
                    self._plain(image, external),
                    fused_logit(self.tensors, embedding, image, external),
                )
                found.append((*(each.sigmoid() for each in logits), embedding))
        return Predictions(*(torch.cat(each).double().cpu().numpy() for each in zip(*found, strict=True)))

    def network(self) -> Oanet:
        """As it is exported, batch norm folded."""
        branch = self.lessons.branch
        weights = self.backbone.folded() if self.backbone is not None else branch.weights
        assert weights is not None
        arrays = {name: value.detach().cpu().numpy().astype(np.float32) for name, value in self.tensors.items()
                  if not name.startswith("plain")}  # fmt: skip
        return Oanet(
            branch.name,
            Backbone(branch.spec, weights),
            arrays,
            self.lessons.side_px,
            self.lessons.fields.shape[2],
            self.backbone is None,
        )

    def _begin(self, train: NDArray[np.int64]) -> None:
        import torch

        spec, fields = self.lessons.branch.spec, self.lessons.fields
        kept = self.lessons.branch.weights is not None
        arrays = initial_arrays(spec, fields.shape[2], self.lessons.side_px, kept, self.settings.seed)
        rng = np.random.default_rng([self.settings.seed, 2])
        wide = 2 * ALIGNED * (N_STAGES if self.settings.all_stages else 1)
        arrays |= {
            "plain_joint.weight": rng.normal(0, np.sqrt(2 / wide), (HIDDEN, wide)).astype(np.float32),
            "plain_joint.bias": np.zeros(HIDDEN, np.float32),
            "plain.weight": rng.normal(0, np.sqrt(1 / HIDDEN), (1, HIDDEN)).astype(np.float32),
            "plain.bias": np.zeros(1, np.float32),
        }
        arrays["fields.mean"], arrays["fields.scale"] = standard_of(fields[0, train])
        arrays |= self._places(train) if kept else {}
        arrays["usual"] = self.lessons.usual
        self.tensors = {name: torch.from_numpy(value).to(self.settings.device) for name, value in arrays.items()}
        for name, value in self.tensors.items():
            value.requires_grad_(not name.startswith(("usual", "fields.", "refine", "place")))
        if not kept:
            self.backbone = LearntBackbone(spec, self.settings.seed, self.settings.device)

    def _places(self, train: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """What good parts show at each place of each stage, and one over how much that varies."""
        good = train[~self.lessons.defective[train]]
        arrays: dict[str, NDArray[np.float32]] = {}
        for k in range(N_STAGES):
            total = square = np.zeros(self.lessons.maps[k].shape[1:])
            rows = np.concatenate([self.lessons.rows(good, version) for version in self.lessons.learnt(masks=False)])
            for begin in range(0, len(rows), _PART):
                level = self.lessons.maps[k][rows[begin : begin + _PART]].double()
                total, square = total + level.sum(0).numpy(), square + level.square().sum(0).numpy()
            mean = total / len(rows)
            spread = np.sqrt(np.maximum(square / len(rows) - mean**2, 0))
            arrays[f"place{k}.mean"] = mean.astype(np.float32)
            arrays[f"place{k}.scale"] = (1 / np.maximum(spread, 0.02 * spread.mean() + 1e-6)).astype(np.float32)
        return arrays

    def _image(
        self, parts: NDArray[np.int64], version: NDArray[np.int64] | int, rng: np.random.Generator | None = None
    ) -> list[torch.Tensor]:
        import torch

        if self.backbone is not None:
            pictures = torch.from_numpy(self.lessons.images_uint8(parts, version)).to(self.settings.device)
            return image_stages(self.tensors, self.backbone.maps(pictures), rng)
        at = torch.from_numpy(self.lessons.rows(parts, version))
        pairs = zip(self.lessons.maps, self.lessons.seen, strict=True)
        held = ((maps[at].to(self.settings.device), seen[at].to(self.settings.device)) for maps, seen in pairs)
        told = [told_by_place(self.tensors, k, maps, seen) for k, (maps, seen) in enumerate(held)]
        return image_stages(self.tensors, told, rng)

    def _plain(self, image: Sequence[torch.Tensor], external: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N,) log odds from the last stages, or all, as they are: what fuses before refinement."""
        import torch
        from torch.nn import functional

        stages = (*image, *external) if self.settings.all_stages else (image[-1], external[-1])
        tensors, both = self.tensors, torch.cat(stages, 1).relu()
        joint = functional.linear(both, tensors["plain_joint.weight"], tensors["plain_joint.bias"]).relu()
        return functional.linear(joint, tensors["plain.weight"], tensors["plain.bias"])[:, 0]

    def _loss(self, parts: NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        truth = self._truth(parts)
        image = self._image(parts, self._versions(len(parts), rng), rng)
        loss = entropy(single_logit(self.tensors, "image", image), truth)
        if not self.settings.fields:
            return loss
        external = external_stages(self.tensors, *self._told(self._dropped(parts, rng)))
        loss = loss + entropy(single_logit(self.tensors, "external", external), truth)
        loss = loss + entropy(self._plain(image, external), truth)
        if self.settings.refine_epochs:
            unrefined = image[0].new_zeros((len(parts), N_STAGES * REFINED))
            loss = loss + entropy(fused_logit(self.tensors, unrefined, image, external), truth)
        return loss + self.settings.alignment * alignment_loss(image, external)

    def _truth(self, parts: NDArray[np.int64]) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.lessons.defective[parts].astype(np.float32)).to(self.settings.device)

    def _told(self, fields: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
        fields_tensor, missing = tensors_of(fields)
        return fields_tensor.to(self.settings.device), missing.to(self.settings.device)

    def _versions(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.choice(self.lessons.learnt(self.settings.masks), n)

    def _dropped(self, parts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Fields of `parts` in a version with more of them missing; every tenth part loses all."""
        if not self.settings.masks:
            return np.asarray(self.lessons.fields[0, parts], np.float64)
        fields = self.lessons.fields[rng.integers(0, len(self.lessons.fields), len(parts)), parts]
        fields[rng.random(len(parts)) < 0.1] = np.nan
        return np.asarray(fields, np.float64)

    def stages(self, parts: NDArray[np.int64], version: int) -> torch.Tensor:
        """(n, ALIGNED * stages) of `parts`, without gradients."""
        import torch

        pieces = range(0, len(parts), _PART)
        return torch.cat([torch.cat(self._image(parts[begin : begin + _PART], version), 1) for begin in pieces])

    def _refine(self, train: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Principal components of each stage on the training set, frozen; then the head learns on with them."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        versions = self.lessons.learnt(self.settings.masks).tolist()
        with torch.no_grad():
            stages = torch.stack([self.stages(train, version) for version in versions], 1)
            for k in range(N_STAGES):
                weight, bias = principal_components(
                    stages[:, 0, k * ALIGNED : (k + 1) * ALIGNED].double().cpu().numpy()
                )
                self.tensors[f"refine{k}.weight"] = torch.from_numpy(weight).to(self.settings.device)
                self.tensors[f"refine{k}.bias"] = torch.from_numpy(bias).to(self.settings.device)
            self.tensors["joint.weight"][:, : N_STAGES * REFINED] = 0  # of components that are no more
        truth = self._truth(train)
        head = [self.tensors[f"{name}.{part}"] for name in ("joint", "fused") for part in ("weight", "bias")]
        optimiser = torch.optim.SGD(
            head, self.settings.learning_rate, self.settings.momentum, weight_decay=self.settings.weight_decay
        )
        for _ in range(self.settings.refine_epochs):
            order = rng.permutation(len(train))
            for begin in range(0, len(order), self.settings.batch):
                here = order[begin : begin + self.settings.batch]
                seen = stages[here, rng.integers(0, len(versions), len(here))]
                with torch.no_grad():
                    image = torch.split(seen, ALIGNED, 1)
                    embedding = embed(self.tensors, image)
                    external = external_stages(self.tensors, *self._told(self._dropped(train[here], rng)))
                optimiser.zero_grad()
                torch.autograd.backward([entropy(fused_logit(self.tensors, embedding, image, external), truth[here])])
                optimiser.step()
