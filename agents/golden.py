"""The golden references of bundles, kept by sha256: what the root-cause agent compares its windows with."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.bundle import BASELINE, Bundle
from pipeline.gradient_map import Baseline
from pipeline.process_signals import Usual, usual_of_bundle
from schemas.errors import SetupError
from schemas.store import ContentStore

_MAX_KEPT = 256


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """`baseline`: the bundle's golden median-gradient map, if it has one; `template` (H, W) uint8.

    `usual`: what machine parameters are on good parts; empty when the bundle reads none.
    """

    baseline: Baseline | None
    template: NDArray[np.uint8]
    usual: Usual


class GoldenReferences:
    """Reads each bundle once."""

    def __init__(self, bundles_url: str) -> None:
        self._store = ContentStore(bundles_url)
        self._kept: OrderedDict[str, Golden] = OrderedDict()

    def of_bundle(self, sha256: str) -> Golden:
        """The references in the bundle named `sha256`. Raises: SetupError, TransientError."""
        if sha256 not in self._kept:
            bundle = Bundle.from_bytes(self._fetch(sha256), f"bundle {sha256[:12]}")
            content = bundle.members.get(BASELINE)
            baseline = None if content is None else Baseline.from_bytes(content)
            while len(self._kept) >= _MAX_KEPT:
                self._kept.popitem(last=False)
            self._kept[sha256] = Golden(baseline, bundle.template_grey(), usual_of_bundle(bundle))
        return self._kept[sha256]

    def _fetch(self, sha256: str) -> bytes:
        ref = self._store.ref(sha256, ".bundle")
        try:
            return self._store.get(ref)
        except FileNotFoundError as exc:
            raise SetupError(
                f"the bundle store has no {ref}, which aligned frames name: activate that bundle again"
            ) from exc
