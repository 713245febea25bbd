"""anomalib's own PaDiM, PatchCore, STFPM and FastFlow on mvtec_screw, with and without our alignment in front.

`python -m benchmarks.table_anomalib --json` prints rows as `sightline bench table` does; it needs the extra
`bench-peers` and ResNet-18's weights, which are put into anomalib's backbones (batch norms made to do nothing but add
the folded bias): nothing is downloaded. The networks are trained here by anomalib's losses and optimisers, batch 16,
for as many seconds as asked; their papers train for hours, so their rows say what minutes on a CPU buy.
PatchCore's bank is 1 % of the patches, as its paper's smallest, since 10 % take hours here. EfficientAD is not
among them: it needs a teacher distilled from ImageNet, and pictures of ImageNet, that cannot be had offline.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_cases import Case, resnet18_weights, train_case
from benchmarks.accuracy_data import lay_out
from benchmarks.progress import say
from benchmarks.result import Json
from benchmarks.rows import defined
from benchmarks.table import Pictures, judge_peer
from benchmarks.work_folder import work_folder
from engines.backbone import IMAGENET_MEAN, IMAGENET_STD
from pipeline.preparation import Preparation
from schemas.errors import InputError, MissingExtra

Float = NDArray[np.float32]
NAMES = ("PaDiM", "PatchCore", "STFPM", "FastFlow")
_LAYERS = ["layer1", "layer2", "layer3"]
_BATCH, _BANK_SHARE = 16, 0.01
_EPS = 1e-5


class Anomalib:
    """One of anomalib's models behind the table's interface. Raises: MissingExtra without anomalib."""

    def __init__(self, name: str, weights: Path, size_px: tuple[int, int], train_s: float, seed: int = 0) -> None:
        try:
            import anomalib  # noqa: F401
            import torch
        except ModuleNotFoundError as exc:
            raise MissingExtra(exc.name or "anomalib", "bench-peers", f"anomalib's {name}") from exc
        torch.manual_seed(seed)
        self._name, self._train_s = name, train_s
        self._model = _MODELS[name](weights, size_px)
        self.n_epochs = 0.0

    def fit(self, good: Sequence[NDArray[np.uint8]]) -> None:
        """Fill the bank, or train until the time is up."""
        import torch

        self._model.train()
        if self._name in ("PaDiM", "PatchCore"):
            with torch.no_grad():
                for picture in good:
                    self._model(_tensor([picture]))
            if self._name == "PaDiM":
                self._model.fit()
            else:
                self._model.subsample_embedding(_BANK_SHARE)
        else:
            self._train(good)
        self._model.eval()

    def score(self, picture: NDArray[np.uint8]) -> tuple[Float, float]:
        """(H, W) score map, and the frame's score, both anomalib's."""
        import torch

        with torch.no_grad():
            found = self._model(_tensor([picture]))
        return found.anomaly_map[0, 0].numpy().astype(np.float32), float(found.pred_score.reshape(-1)[0])

    def _train(self, good: Sequence[NDArray[np.uint8]]) -> None:
        import torch

        loss, optimiser = _LESSONS[self._name](self._model)
        rng, start, n_seen = np.random.default_rng(0), time.monotonic(), 0
        while time.monotonic() - start < self._train_s:
            drawn = [good[int(i)] for i in rng.integers(0, len(good), _BATCH)]
            optimiser.zero_grad()
            value: torch.Tensor = loss(*self._model(_tensor(drawn)))
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            n_seen += _BATCH
        self.n_epochs = n_seen / len(good)


def _tensor(pictures: Sequence[NDArray[np.uint8]]) -> Any:
    """(N, 3, H, W) normalised as ImageNet's are."""
    import torch

    mean, std = (np.array(v, np.float32)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return torch.from_numpy(np.stack([(each.astype(np.float32) / 255 - mean) / std for each in pictures]))


def _load(module: Any, weights: Path) -> Any:
    """`module`, a ResNet-18 of timm's, with the folded arrays of `weights`; its batch norms only add their bias."""
    import torch

    state = module.state_dict()
    with np.load(weights, allow_pickle=False) as arrays:
        for name in arrays.files:
            layer, part = name.rsplit(".", 1)
            norm = (
                layer.replace("downsample.0", "downsample.1") if "downsample" in layer else layer.replace("conv", "bn")
            )
            value = torch.from_numpy(np.asarray(arrays[name], np.float32))
            if part == "weight":
                state[name] = value
                continue
            state[f"{norm}.bias"], state[f"{norm}.weight"] = value, torch.ones_like(value)
            state[f"{norm}.running_mean"] = torch.zeros_like(value)
            state[f"{norm}.running_var"] = torch.full_like(value, 1 - _EPS)
    module.load_state_dict(state)
    return module


def _padim(weights: Path, size_px: tuple[int, int]) -> Any:
    from anomalib.models.image.padim.torch_model import PadimModel

    model = PadimModel(backbone="resnet18", layers=_LAYERS, pre_trained=False)
    _load(model.feature_extractor.feature_extractor, weights)
    return model


def _patchcore(weights: Path, size_px: tuple[int, int]) -> Any:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(backbone="resnet18", layers=["layer2", "layer3"], pre_trained=False)
    _load(model.feature_extractor.feature_extractor, weights)
    return model


def _stfpm(weights: Path, size_px: tuple[int, int]) -> Any:
    import timm
    from anomalib.models.components.feature_extractors import TimmFeatureExtractor
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    teacher = _load(timm.create_model("resnet18", pretrained=False), weights)
    model = STFPMModel(layers=_LAYERS, backbone=teacher)
    model.student_model = TimmFeatureExtractor("resnet18", _LAYERS, pre_trained=False, requires_grad=True)
    return model


def _fastflow(weights: Path, size_px: tuple[int, int]) -> Any:
    from anomalib.models.image.fastflow.torch_model import FastflowModel

    model = FastflowModel(input_size=(size_px[1], size_px[0]), backbone="resnet18", pre_trained=False)
    _load(model.feature_extractor, weights)
    return model


def _stfpm_lesson(model: Any) -> tuple[Any, Any]:
    import torch
    from anomalib.models.image.stfpm.loss import STFPMLoss

    return STFPMLoss(), torch.optim.SGD(model.student_model.parameters(), lr=0.4, momentum=0.9, weight_decay=0.001)


def _fastflow_lesson(model: Any) -> tuple[Any, Any]:
    import torch
    from anomalib.models.image.fastflow.loss import FastflowLoss

    return FastflowLoss(), torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=1e-5)


_MODELS: dict[str, Callable[[Path, tuple[int, int]], Any]] = {
    "PaDiM": _padim,
    "PatchCore": _patchcore,
    "STFPM": _stfpm,
    "FastFlow": _fastflow,
}
_LESSONS: dict[str, Callable[[Any], tuple[Any, Any]]] = {"STFPM": _stfpm_lesson, "FastFlow": _fastflow_lesson}


def run(names: Sequence[str], train_s: float) -> dict[str, Json]:
    """A row a model and way of preparing. Raises: InputError without ResNet-18's weights; MissingExtra."""
    weights = resnet18_weights()
    if weights is None:
        raise InputError("the peers need ResNet-18's weights: set SIGHTLINE_WEIGHTS to the .npz")
    rows: dict[str, Json] = {}
    with work_folder() as folder:
        for case, label in ((Case("mvtec_screw"), "aligned"), (Case("mvtec_screw", motion="none"), "as sent")):
            preparation = Preparation.of_bundle(train_case(case, folder, lambda text: None))
            pictures = Pictures.of(lay_out(case.data, folder), preparation)
            for name in names:
                start = time.monotonic()
                peer = Anomalib(name, weights, preparation.input_size_px, train_s)
                row = defined(asdict(judge_peer(peer, pictures)))
                row |= {"seconds": round(time.monotonic() - start, 1), "epochs": round(peer.n_epochs, 1)}
                rows[f"mvtec_screw/anomalib {name}/{label}"] = row
                say(f"mvtec_screw/anomalib {name}/{label}: {row}")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--models", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--train-s", type=float, default=180.0, help="seconds that a network is trained")
    asked = parser.parse_args()
    found = run(asked.models, asked.train_s)
    if asked.json:
        json.dump({"figures": {"rows": found}}, sys.stdout)
