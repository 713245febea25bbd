"""What trees and network are told of a part's machine parameters: how far from usual, and how like a known cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.fault_causes import FaultCauses
from pipeline.usual_fields import UsualFields


@dataclass(frozen=True, slots=True, eq=False)
class FieldDescription:
    """`usual` of good parts, `causes` of defective ones."""

    usual: UsualFields
    causes: FaultCauses

    @classmethod
    def learn(
        cls, names: tuple[str, ...], values: NDArray[np.float64], defective: NDArray[np.bool_], seed: int = 0
    ) -> FieldDescription:
        """From parts (n, F), NaN where missing."""
        usual = UsualFields.learn(names, values[~defective])
        return cls(usual, FaultCauses.learn(usual.correlation, usual.standard(values[defective]), seed))

    def describe(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parts (n, F), NaN where missing, as (n, 2 F + 3): as `UsualFields.describe`, then `FaultCauses.log_ratio`."""
        ratio = self.causes.log_ratio(self.usual.standard(values))
        ratio[np.isnan(values).all(1)] = np.nan
        return np.column_stack((self.usual.describe(values), ratio))
