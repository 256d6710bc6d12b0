"""Figures that the demo's summary is made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The smallest value that at least this share of all values does not exceed; None of nothing.

    >>> percentile([10, 20, 30, 40], 50), percentile([10, 20, 30, 40], 99)
    (20, 40)
    """
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank, 1) - 1]
