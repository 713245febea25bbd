"""Pictures like those of the paper: dots lower left, machine parameters printed around them, and the truth.

Part k of seed s is always the same, whatever was asked for before it. Every 971 parts in a row hold 587 good and
384 defective ones, as the paper's set does (000_51cdc475db3dfdae.txt, section 4). A perfect classifier cannot be:
some defective parts show nothing (`hidden`) and some good ones look defective (`mimics`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ase_dots import SIDE_PX, draw_dots, fault_pixels
from pipeline.ase_panel import DOTS_PX, Panel, PanelStyle
from pipeline.ase_parameters import PARAMETERS, UNITS_PER_LOT, draw_values, worn

PRODUCT = "ase"
BLOCK, N_DEFECTIVE = 971, 384
HIDDEN, MIMICS = 0.05, 0.03
"""Share of defective parts that show nothing, and of good parts that look defective."""
SEEN_IN = (0.22, 0.18, 0.60)
"""Shares of defects seen in the dots alone, in the parameters alone, in both.

The paper's networks find 65 to 79 % of the defects by the picture alone, so that most must show there; most show in
both, for one physical cause spoils dots and moves numbers.
"""
SEVERITIES = (0.8, 1.4)
"""How badly a part looks that looks defective; evenly between these."""
DOTS_SEVERITY, PARAMETERS_SEVERITY = 1.0, 3.6
"""What that means for dots, and in standard deviations for the parameters.

Chosen so that one modality alone does as the paper's: a picture branch's F1 lies between its 0.71 (AlexNet) and 0.80
(ResNet-18), and XGBoost on the fields, of which it has no figure, about in the middle (docs/oanet.md says how
blind that choice was).
"""
JPEG_QUALITY = 90
_KIND_STREAM, _VALUE_STREAM, _DOT_STREAM, _LOT_STREAM, _BLOCK_STREAM = range(5)


class AseKind(StrEnum):
    """Where the defect of a part can be seen."""

    GOOD = "good"
    DOTS = "dots"
    PARAMETERS = "parameters"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class PrintedValue:
    """One printed parameter: its true value as rounded by the machine, its unit, and the number's text."""

    value: float
    unit: str | None
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class AseSample:
    """One part as the machine saved it, and what is true of it.

    `jpeg` the file; `picture` (480, 640, 3) uint8 RGB, decoded from it. `shown` False: a defective part that shows
    nothing, or a good one that looks defective: nobody can tell these from the picture.
    """

    index: int
    unit_id: str
    lot: str
    picture: NDArray[np.uint8]
    jpeg: bytes
    defective: bool
    kind: AseKind
    shown: bool
    fields: Mapping[str, PrintedValue]

    @property
    def label(self) -> str:
        """`good` or `defective`."""
        return "defective" if self.defective else "good"

    @property
    def dots(self) -> NDArray[np.uint8]:
        """(232, 232, 3) uint8 RGB, the picture's dots."""
        x, y, w, h = DOTS_PX
        return self.picture[y : y + h, x : x + w]


class AseLine:
    """An endless line of such parts.

    Args:
        seed: which line; the same seed makes the same parts on every run.
        style: how its machine prints.
        hidden, mimics: shares of parts whose picture says the opposite of the truth; 0 to 0.5.
    """

    product = PRODUCT
    defect_rate = N_DEFECTIVE / BLOCK

    def __init__(
        self, seed: int = 7, *, style: PanelStyle | None = None, hidden: float = HIDDEN, mimics: float = MIMICS
    ) -> None:
        if not (0 <= hidden <= 0.5 and 0 <= mimics <= 0.5):
            raise ValueError(f"hidden {hidden} and mimics {mimics} are shares from 0 to 0.5")
        self.seed, self.hidden, self.mimics = seed, hidden, mimics
        self.panel = Panel(style or PanelStyle())

    @property
    def best_accuracy(self) -> float:
        """What no classifier can exceed on a whole block, on average: the error-rate floor's complement."""
        return 1 - (self.hidden * N_DEFECTIVE + self.mimics * (BLOCK - N_DEFECTIVE)) / BLOCK

    def sample(self, index: int, wear_spreads: float = 0.0) -> AseSample:
        """Part number `index` (from 0), bonded by a machine so worn (see `pipeline.ase_parameters.worn`)."""
        if index < 0:
            raise ValueError(f"part {index} does not exist; they are numbered from 0")
        kind, shown, looks, severity = self.draw_kind(index)
        in_dots, lot = looks in (AseKind.DOTS, AseKind.BOTH), index // UNITS_PER_LOT
        values = self.draw_values(index)
        values = worn(values, wear_spreads) if wear_spreads else values
        dots = draw_dots(self._rng(index, _DOT_STREAM), DOTS_SEVERITY * severity if in_dots else 0.0)
        unit_id, lot_id = f"AS{self.seed:03d}-{index:06d}", f"A{self.seed:03d}-{lot:04d}"
        picture = self.panel.draw(values, f"DB-07  {lot_id}  {unit_id}")
        x, y, w, h = DOTS_PX
        picture[y : y + h, x : x + w] = dots
        jpeg = self._encode(picture)
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        printed = {
            each.name: PrintedValue(values[each.name], each.unit, each.text(values[each.name])) for each in PARAMETERS
        }
        rgb = np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)
        return AseSample(index, unit_id, lot_id, rgb, jpeg, kind is not AseKind.GOOD, kind, shown, printed)

    def draw_values(self, index: int) -> Mapping[str, float]:
        """True values of part number `index`."""
        _, _, looks, severity = self.draw_kind(index)
        return draw_values(
            self._rng(index, _VALUE_STREAM),
            self._rng(index // UNITS_PER_LOT, _LOT_STREAM),
            PARAMETERS_SEVERITY * severity if looks in (AseKind.PARAMETERS, AseKind.BOTH) else 0.0,
        )

    def fault_pixels(self, index: int) -> NDArray[np.bool_]:
        """(232, 232) where a fault changed the dots of part number `index`; nowhere when they show none."""
        _, _, looks, severity = self.draw_kind(index)
        if looks not in (AseKind.DOTS, AseKind.BOTH):
            return np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        return fault_pixels(self._rng(index, _DOT_STREAM), DOTS_SEVERITY * severity)

    def _rng(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, stream])

    def draw_kind(self, index: int) -> tuple[AseKind, bool, AseKind, float]:
        """Its kind, whether it shows as what it is, what it looks like, and how badly (SEVERITIES)."""
        block, place = divmod(index, BLOCK)
        defective = self._rng(block, _BLOCK_STREAM).permutation(BLOCK)[place] < N_DEFECTIVE
        rng = self._rng(index, _KIND_STREAM)
        seen = (AseKind.DOTS, AseKind.PARAMETERS, AseKind.BOTH)[int(rng.choice(3, p=SEEN_IN))]
        severity = float(rng.uniform(*SEVERITIES))
        contrary = bool(rng.random() < (self.hidden if defective else self.mimics))
        kind = seen if defective else AseKind.GOOD
        looks = seen if bool(defective) != contrary else AseKind.GOOD
        return kind, not contrary, looks, severity if looks is not AseKind.GOOD else 0.0

    def _encode(self, picture: NDArray[np.uint8]) -> bytes:
        """As the machine's software saves it."""
        done, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise ValueError("the picture could not be encoded as JPEG")
        return encoded.tobytes()
