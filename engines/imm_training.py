"""Training of the image matching module: synthetic poses first, then the paper's own loss. Needs torch.

1. Good parts, whose pose our aligner knows, are moved by a known pose (any turn, a stated shift), lit anew, made
   noisy, partly covered, and spoilt by pasted defects. The loss is the mean squared distance, in pixels,
   between where predicted and true pose put nine points of the template: a defect never moves the target.
2. Eq. 1: the mean squared error between the frame resampled by the predicted pose and the template.

Every step draws its frames from (seed, step), so training that was broken off goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Transform, compose, invert, resize_transform
from engines.imm import BRANCH, REGRESSION, ImmGeometry, Weights, check_weights, initial_weights
from engines.imm_graph import matrix_of_pose
from engines.training_device import TrainingDevice
from schemas.errors import MissingExtra, SetupError

if TYPE_CHECKING:
    import torch

Grey = NDArray[np.uint8]
Report = Callable[[int, int, float], None]
"""Called with (step, n_steps, loss); the loss of the first stage is in px^2 of the working size, else grey."""


@dataclass(frozen=True, slots=True)
class ImmSettings:
    """How to train. `max_shift` is a share of the picture; the capture range is what is trained here."""

    n_steps: int = 3000
    n_paper_steps: int = 300
    batch: int = 32
    learning_rate: float = 1.5e-3
    paper_learning_rate: float = 2e-4
    max_angle_deg: float = 180.0
    max_shift: float = 0.1
    noise: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class GoodPart:
    """A good picture at working size, (H, W) uint8, and where the template's pixels lie in it."""

    picture: Grey
    transform: Transform


def train_imm(
    template: Grey,
    parts: Sequence[GoodPart],
    settings: ImmSettings,
    *,
    checkpoint: Path | None = None,
    checkpoint_steps: int = 250,
    report: Report | None = None,
    device: TrainingDevice = "cpu",
) -> Weights:
    """Weights of the network for `template` (H, W), from `parts` and the template itself.

    Args: checkpoint: file (.npz) written every `checkpoint_steps`, and continued when it exists, on any device.
    Raises: MissingExtra without torch; SetupError when the checkpoint belongs to another network.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "train", "training the matching network") from exc
    geometry = ImmGeometry.of((template.shape[1], template.shape[0]))
    stock = _Stock.of(template, parts, geometry, device)
    subject = _subject(template, parts, settings)
    weights, moments, start = _begin(geometry, settings, checkpoint, subject)
    tensors = {name: torch.from_numpy(value.copy()).to(device).requires_grad_() for name, value in weights.items()}
    optimiser = torch.optim.Adam(tensors.values(), lr=settings.learning_rate)
    _restore(optimiser, tensors, moments, start)
    total = settings.n_steps + settings.n_paper_steps
    smooth_loss = 0.0
    for step in range(start, total):
        _schedule(optimiser, settings, step)
        optimiser.zero_grad()
        loss = _loss(tensors, stock, settings, step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tensors.values(), 5.0)
        optimiser.step()
        value = float(loss.detach())
        smooth_loss = value if step in (start, settings.n_steps) else 0.95 * smooth_loss + 0.05 * value
        if report is not None:
            report(step + 1, total, smooth_loss)
        if checkpoint is not None and ((step + 1) % checkpoint_steps == 0 or step + 1 == total):
            _save(checkpoint, tensors, optimiser, step + 1, subject)
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}


def predict_matrices(tensors: dict[str, Any], frames: Any, template: Any, geometry: ImmGeometry) -> Any:
    """(n, 2, 3) torch: template -> frame in coordinates of -1 to 1, for `frames` (n, 1, h, w) at network size."""
    import torch
    from torch.nn import functional

    def convolve(x: torch.Tensor, layers: Sequence[Any]) -> torch.Tensor:
        for layer in layers:
            weight, bias = tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"]
            x = functional.relu(functional.conv2d(x, weight, bias, layer.stride, layer.kernel // 2))
        return x

    def standardised(x: torch.Tensor) -> torch.Tensor:
        off = x - x.mean((1, 2, 3), keepdim=True)
        return off / torch.sqrt((off * off).mean((1, 2, 3), keepdim=True) + 1e-3)

    seen, wanted = convolve(standardised(frames), BRANCH), convolve(standardised(template), BRANCH)
    joined = convolve(torch.cat((seen, wanted.expand_as(seen)), 1), REGRESSION).flatten(1)
    hidden = functional.relu(functional.linear(joined, tensors["dense1.weight"], tensors["dense1.bias"]))
    pose = functional.linear(hidden, tensors["pose.weight"], tensors["pose.bias"])
    turn = pose[:, 2:] / torch.sqrt((pose[:, 2:] ** 2).sum(1, keepdim=True) + 1e-12)
    rows = torch.cat((pose[:, :2], turn), 1) @ torch.from_numpy(matrix_of_pose(geometry)).to(pose.device)
    return rows.reshape(-1, 2, 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Stock:
    """Good parts at twice the network's size. `to_unit` (k, 2, 3): template -> picture, in coordinates of -1 to 1."""

    geometry: ImmGeometry
    template: Any
    pictures: Any
    to_unit: Any

    @classmethod
    def of(cls, template: Grey, parts: Sequence[GoodPart], geometry: ImmGeometry, device: TrainingDevice) -> _Stock:
        import torch

        width, height = geometry.small
        size = (2 * width, 2 * height)
        own = GoodPart(template, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        known = [own, *parts]
        pictures = np.stack([cv2.resize(p.picture, size, interpolation=cv2.INTER_AREA) for p in known])
        units = np.stack([_in_units(p.transform, geometry.size) for p in known])
        small = cv2.resize(template, geometry.small, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cls(
            geometry,
            torch.from_numpy(small[None, None]).to(device),
            torch.from_numpy(pictures.astype(np.float32)[:, None]).to(device),
            torch.from_numpy(units.astype(np.float32)).to(device),
        )

    def draw(self, settings: ImmSettings, step: int) -> tuple[Any, Any]:
        """Frames (n, 1, h, w) at network size and their true matrices (n, 2, 3), template -> frame, in -1 to 1."""
        import torch
        from torch.nn import functional

        rng = np.random.default_rng([settings.seed, step])
        n = settings.batch
        turn = np.radians(rng.uniform(-settings.max_angle_deg, settings.max_angle_deg, n))
        shift = rng.uniform(-2 * settings.max_shift, 2 * settings.max_shift, (n, 2))
        pose = np.column_stack((shift, np.sin(turn), np.cos(turn))).astype(np.float32)
        true = torch.from_numpy((pose @ matrix_of_pose(self.geometry)).reshape(n, 2, 3)).to(self.pictures.device)
        chosen = rng.integers(0, len(self.pictures), n)
        to_picture = _chain(self.to_unit[chosen], _inverse(true))
        width, height = self.geometry.small
        fine = (n, 1, 2 * height, 2 * width)
        grid = functional.affine_grid(to_picture, list(fine), align_corners=False)
        moved = functional.grid_sample(self.pictures[chosen], grid, padding_mode="border", align_corners=False)
        frames = functional.avg_pool2d(moved, 2).cpu().numpy()
        return torch.from_numpy(_spoil(frames, settings, rng)).to(true.device), true


def _spoil(frames: NDArray[np.float32], settings: ImmSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """`frames` (n, 1, h, w) under another light, with noise; a third covered in part or spoilt by a defect."""
    n, _, height, width = frames.shape
    gain, bias = rng.uniform(0.7, 1.3, (n, 1, 1, 1)), rng.uniform(-25, 25, (n, 1, 1, 1))
    slope = rng.uniform(-0.2, 0.2, (n, 1, 1, 1)) * np.linspace(-1, 1, width, dtype=np.float32)
    out = (frames * (gain + slope) + bias).astype(np.float32)
    for k in np.flatnonzero(rng.random(n) < 1 / 3):
        w, h = (int(rng.integers(3, max(4, side // 4))) for side in (width, height))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        patch = rng.normal(size=(h, w)) * rng.choice([0.0, 40.0]) + rng.uniform(0, 255)
        out[k, 0, y : y + h, x : x + w] = patch
    out += rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(0, 2) * settings.noise * 255)
    return np.clip(out, 0, 255)


def _loss(tensors: dict[str, Any], stock: _Stock, settings: ImmSettings, step: int) -> Any:
    """Stage 1: squared distance of nine points, px of the working size. Stage 2: eq. 1 on standardised pictures."""
    from torch.nn import functional

    frames, true = stock.draw(settings, step)
    found = predict_matrices(tensors, frames, stock.template, stock.geometry)
    if step < settings.n_steps:
        at = found.new_tensor([[x, y, 1.0] for x in (-0.7, 0.0, 0.7) for y in (-0.7, 0.0, 0.7)])
        half = found.new_tensor(stock.geometry.size) / 2
        apart = ((found - true) @ at.T).transpose(1, 2) * half
        return (apart**2).sum(2).mean()
    width, height = stock.geometry.small
    grid = functional.affine_grid(found, [len(frames), 1, height, width], align_corners=False)
    aligned = functional.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    level, spread = aligned.mean((1, 2, 3), keepdim=True), aligned.std((1, 2, 3), keepdim=True)
    target = (stock.template - stock.template.mean()) / stock.template.std()
    return (((aligned - level) / (spread + 1e-3) - target) ** 2).mean()


def _in_units(transform: Transform, size: tuple[int, int]) -> NDArray[np.float64]:
    """`transform` between pixels of pictures of `size` as one between coordinates of -1 to 1."""
    to_unit = resize_transform(size, (2, 2)) - np.array([[0, 0, 0.5], [0, 0, 0.5]])
    return compose(to_unit, compose(transform, invert(to_unit)))


def _chain(outer: Any, inner: Any) -> Any:
    """(n, 2, 3) torch: `inner` first, then `outer`."""
    import torch

    linear = outer[:, :, :2] @ inner[:, :, :2]
    offset = outer[:, :, :2] @ inner[:, :, 2:] + outer[:, :, 2:]
    return torch.cat((linear, offset), 2)


def _inverse(matrices: Any) -> Any:
    """(n, 2, 3) torch: what undoes each."""
    import torch

    linear = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat((linear, -linear @ matrices[:, :, 2:]), 2)


def _schedule(optimiser: Any, settings: ImmSettings, step: int) -> None:
    """Warm-up, then a cosine down to a fiftieth; the second stage at the paper's rate."""
    share = step / max(settings.n_steps, 1)
    rate = settings.learning_rate * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (1 + np.cos(np.pi * min(share, 1))) / 2)
    for group in optimiser.param_groups:
        group["lr"] = rate if step < settings.n_steps else settings.paper_learning_rate


def _subject(template: Grey, parts: Sequence[GoodPart], settings: ImmSettings) -> str:
    """sha256 (hex) of everything a training depends on."""
    digest = hashlib.sha256(repr(settings).encode() + template.tobytes())
    for part in parts:
        digest.update(part.picture.tobytes() + part.transform.tobytes())
    return digest.hexdigest()


def _begin(
    geometry: ImmGeometry, settings: ImmSettings, checkpoint: Path | None, subject: str
) -> tuple[Weights, dict[str, NDArray[np.float32]], int]:
    """Weights, optimiser moments and step to start from."""
    if checkpoint is None or not checkpoint.exists():
        return initial_weights(geometry, settings.seed), {}, 0
    try:
        with np.load(checkpoint, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError) as exc:
        raise SetupError(f"checkpoint {checkpoint} cannot be read: {exc}; delete it to train anew") from exc
    if "subject" not in arrays or str(arrays["subject"]) != subject:
        raise SetupError(
            f"checkpoint {checkpoint} is of other pictures or settings; delete it to train anew, or give those back"
        )
    weights = {name[2:]: value for name, value in arrays.items() if name.startswith("w/")}
    check_weights(weights, geometry)
    return weights, {name: value for name, value in arrays.items() if name[:2] in ("m/", "v/")}, int(arrays["step"])


def _restore(optimiser: Any, tensors: dict[str, Any], moments: dict[str, NDArray[np.float32]], step: int) -> None:
    import torch

    if not moments:
        return
    for name, tensor in tensors.items():
        optimiser.state[tensor] = {
            "step": torch.tensor(float(step)),
            "exp_avg": torch.from_numpy(moments[f"m/{name}"].copy()).to(tensor.device),
            "exp_avg_sq": torch.from_numpy(moments[f"v/{name}"].copy()).to(tensor.device),
        }


def _save(checkpoint: Path, tensors: dict[str, Any], optimiser: Any, step: int, subject: str) -> None:
    """Write the checkpoint beside itself, then move it into place."""
    arrays: dict[str, NDArray[Any]] = {"step": np.array(step), "subject": np.array(subject)}
    for name, tensor in tensors.items():
        state = optimiser.state[tensor]
        arrays[f"w/{name}"] = tensor.detach().cpu().numpy()
        arrays[f"m/{name}"], arrays[f"v/{name}"] = (state[part].cpu().numpy() for part in ("exp_avg", "exp_avg_sq"))
    partial = checkpoint.with_suffix(".partial.npz")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(checkpoint)
