"""How long positions stood without protection (reliability.md L-2), out of the journal alone. Pure.

`without_stop`: nothing guarded the position, neither an order at the exchange nor the engine's watch.
`without_native`: that, and the time the watch alone stood guard: what the position would have been without if the
process had died. Both from the first fill on, up to the last change of its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradewind.demo.facts import JournalLot
from tradewind.demo.figures import percentile

# Entered on purpose without a stop, or left so by the user: nothing was wanted.
_NOT_WANTED = "unprotected_by_you"


def exposure(lots: Sequence[JournalLot]) -> dict[str, Any]:
    """Return median, 99th percentile and maximum of both times over all positions, in ms; None of nothing."""
    counted = [lot for lot in lots if lot.state != _NOT_WANTED]
    return {
        "without_stop_ms": _spread([lot.naked_ms for lot in counted]),
        "without_native_ms": _spread([lot.naked_ms + lot.watched_ms for lot in counted]),
    }


def exposure_line(told: dict[str, Any]) -> str:
    """Say both in one line."""
    bare, watched = told["without_stop_ms"], told["without_native_ms"]
    return (
        f"without any stop {bare['p50']} ms (99th percentile {bare['p99']}, longest {bare['longest']}), "
        f"without one at the exchange {watched['p50']} ms ({watched['p99']}, {watched['longest']})"
    )


def _spread(times_ms: Sequence[int]) -> dict[str, int | None]:
    return {
        "p50": percentile(times_ms, 50),
        "p99": percentile(times_ms, 99),
        "longest": max(times_ms, default=None),
    }
