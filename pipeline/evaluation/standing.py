"""What is usual: a number against the same number of reference clips."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Standing:
    """Where a number stands among a reference's.

    Attributes:
        value: the number.
        median: of the reference.
        low: the reference's 5th percentile.
        high: its 95th.
        percentile: share of the reference below the value, 0 to 100; those equal to it count half.
        z: distance from the reference's mean in its standard deviations; 0 if both are one number, and infinite if
            the reference does not vary and the value is another.
    """

    value: float
    median: float
    low: float
    high: float
    percentile: float
    z: float

    @property
    def is_usual(self) -> bool:
        """Whether nine of ten reference clips are on both sides, or at, the value."""
        return self.low <= self.value <= self.high


def stand(value: float, reference: Sequence[float]) -> Standing:
    """Compare a number with a reference's numbers; those that are not finite are left out.

    Raises:
        ValueError: none of the reference's numbers is finite.
    """
    known = np.array([number for number in reference if np.isfinite(number)])
    if len(known) == 0:
        raise ValueError(f"a reference must have a finite number, and none of these {len(reference)} is")
    low, median, high = np.percentile(known, [5, 50, 95])
    below = float(np.mean(known < value) + np.mean(known == value) / 2)
    away, deviation = value - float(known.mean()), float(known.std())
    z = away / deviation if deviation > 0 else float(np.copysign(np.inf, away)) if away else 0.0
    return Standing(value, float(median), float(low), float(high), 100 * below, z)


def stand_all(measured: Any, references: Sequence[Any]) -> dict[str, Standing]:
    """Compare every number of a measure with the same measure of reference clips.

    Args:
        measured: a dataclass; fields that are not numbers are passed over.
        references: likewise, of each reference clip.
    """
    numbers = [field.name for field in fields(measured) if field.type in (float, int, "float", "int")]
    return {name: stand(getattr(measured, name), [getattr(other, name) for other in references]) for name in numbers}
