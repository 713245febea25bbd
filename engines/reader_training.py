"""Teach the reader on rendered lines (needs the extra ``train``); the weights go into reader.npz.

    python -m engines.reader_training engines/reader.npz --steps 5000

The shipped weights come from this and 4000 steps more: --start engines/reader.npz --steps 4000 --rate 8e-4 --seed 1.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.line_crop import CROP_HEIGHT_PX
from engines.reader import labels_of
from engines.reader_lines import random_line
from engines.reader_net import LEAST_CONTRAST, STRIDES, Float, reader_shapes
from schemas.errors import MissingExtra

if TYPE_CHECKING:
    import torch

WIDTH_PX = 112
_POOL_LINES = 16384
"""Drawn lines that are kept; a third of a batch is new, the rest is drawn from them, since drawing is half the work."""
_KEEP_EVERY = 500
Report = Callable[[int, float], None]
Keep = Callable[[dict[str, Float]], None]


def train_reader(
    n_steps: int,
    *,
    batch: int = 80,
    rate: float = 3e-3,
    seed: int = 0,
    start: dict[str, Float] | None = None,
    report: Report = lambda step, loss: None,
    keep: Keep = lambda weights: None,
) -> dict[str, Float]:
    """Train for `n_steps` of `batch` lines; the rate falls to nothing along a cosine.

    Args: start: weights to go on from. keep: called with the weights so far every _KEEP_EVERY steps.
    Returns: `<layer>.weight` and `<layer>.bias`, batch normalisation folded in.
    Raises: MissingExtra without torch.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train", "training the reader") from exc
    torch.manual_seed(seed)
    lines = _Lines(np.random.default_rng([seed, 20]))
    net = _net(start)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, n_steps))
    criterion = torch.nn.CTCLoss(zero_infinity=True)
    mean_loss = math.nan
    for step in range(1, n_steps + 1):
        crops, labels, lengths = lines.batch(batch)
        logs = net(crops).squeeze(2).permute(2, 0, 1).log_softmax(2)
        steps = torch.full((batch,), logs.shape[0], dtype=torch.long)
        loss = criterion(logs, labels, steps, lengths)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        value = float(loss.detach())
        mean_loss = value if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * value
        report(step, mean_loss)
        if step % _KEEP_EVERY == 0:
            keep(_folded(net))
    return _folded(net)


def _rate(step: int, n_steps: int) -> float:
    warm = min(1.0, (step + 1) / 200)
    return warm * (0.5 + 0.5 * math.cos(math.pi * min(step / n_steps, 1.0)))


def _net(start: dict[str, Float] | None) -> torch.nn.Sequential:
    import torch

    layers: list[torch.nn.Module] = []
    for layer, (n_out, n_in, rows, columns) in reader_shapes().items():
        padding = (0 if layer == "columns" else rows // 2, columns // 2)
        conv = torch.nn.Conv2d(n_in, n_out, (rows, columns), STRIDES.get(layer, (1, 1)), padding)
        if start is not None:
            conv.weight.data = torch.from_numpy(start[f"{layer}.weight"].copy())
            assert conv.bias is not None
            conv.bias.data = torch.from_numpy(start[f"{layer}.bias"].copy())
        layers.append(conv)
        if layer != "classes":
            if start is None:
                layers.append(torch.nn.BatchNorm2d(n_out))
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


class _Lines:
    """Where batches come from: new lines, and those drawn lately."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._crops = np.empty((_POOL_LINES, CROP_HEIGHT_PX, WIDTH_PX), np.uint8)
        self._labels: list[list[int]] = []
        self._next = 0

    def batch(self, n: int) -> tuple[Any, Any, Any]:
        """Normalised crops (n, 1, H, W) float32, labels end to end, and their counts."""
        import torch

        n_new = n if len(self._labels) < 8 * n else n // 3
        places = [self._draw() for _ in range(n_new)]
        places += [int(place) for place in self._rng.integers(0, len(self._labels), n - n_new)]
        crops = self._crops[places].astype(np.float32)
        crops -= crops.mean(axis=(1, 2), keepdims=True)
        crops /= np.maximum(crops.std(axis=(1, 2), keepdims=True), LEAST_CONTRAST)
        labels = [label for place in places for label in self._labels[place]]
        lengths = [len(self._labels[place]) for place in places]
        return (
            torch.from_numpy(crops[:, None]),
            torch.tensor(labels, dtype=torch.long),
            torch.tensor(lengths, dtype=torch.long),
        )

    def _draw(self) -> int:
        """Draw one line into the pool, in place of the oldest; its place."""
        place, self._next = self._next, (self._next + 1) % _POOL_LINES
        self._crops[place], text = random_line(self._rng, WIDTH_PX)
        if place == len(self._labels):
            self._labels.append([])
        self._labels[place] = labels_of(text)
        return place


def _folded(net: torch.nn.Sequential) -> dict[str, Float]:
    """Convolutions with the batch normalisation behind them folded in."""
    import torch

    modules = list(net)
    convs = [i for i, module in enumerate(modules) if isinstance(module, torch.nn.Conv2d)]
    weights: dict[str, Float] = {}
    for layer, at in zip(reader_shapes(), convs, strict=True):
        conv: Any = modules[at]
        weight, bias = conv.weight.detach().clone(), conv.bias.detach().clone()
        norm: Any = modules[at + 1] if at + 1 < len(modules) else None
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_var is not None and norm.running_mean is not None
            factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
            weight *= factor[:, None, None, None]
            bias = (bias - norm.running_mean) * factor + norm.bias.detach()
        weights[f"{layer}.weight"], weights[f"{layer}.bias"] = weight.numpy(), bias.numpy()
    return weights


def save_weights(path: Path, weights: dict[str, Float]) -> None:
    """Write weights in single precision, whole or not at all."""
    aside = path.with_name(f".{path.name}.part.npz")
    np.savez_compressed(aside, **weights)  # type: ignore[arg-type]
    aside.replace(path)


def main() -> None:
    """Train as asked on the command line, saying how far it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="weights to write (.npz)")
    parser.add_argument("--steps", type=int, default=5000, help="training steps")
    parser.add_argument("--batch", type=int, default=80, help="lines a step")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate at its highest")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same weights on one machine")
    parser.add_argument("--start", type=Path, help="weights to go on from (.npz)")
    asked = parser.parse_args()
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % 200 == 0 or step == asked.steps:
            print(f"step {step} of {asked.steps}, loss {loss:.4f}, {time.monotonic() - began:.0f} s", flush=True)

    start = None
    if asked.start is not None:
        from engines.reader_net import load_weights

        start = load_weights(asked.start)
    weights = train_reader(
        asked.steps,
        batch=asked.batch,
        rate=asked.rate,
        seed=asked.seed,
        start=start,
        report=report,
        keep=lambda so_far: save_weights(asked.out, so_far),
    )
    save_weights(asked.out, weights)


if __name__ == "__main__":
    main()
