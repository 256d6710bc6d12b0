"""What happens in an episode, drawn from its seed: alerts, prices, faults at the exchange, and kills."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.crash.killer import Strike
from tests.crash.numbers import PROCESSING_MS
from tests.crash.worlds import BASES

from tradewind.infra.points import Point

# What brings a node to a point, where it does not come up by itself: the faults to put in force first, and
# whether something is to be opened or closed. Absences need lost orders and a fence's time.
_LOST = ({"kind": "drop_before", "times": 12},)
_UNHEARD = ({"kind": "execute_drop", "times": 4},)
_PARTIAL = ({"kind": "partial_fill", "value": 0.5, "times": 12},)
_FLATTENING = frozenset({Point.FLATTEN_WRITTEN, Point.FLATTEN_COMMITTED, Point.FLATTEN_SETTLED})
_RISING = frozenset({Point.TRAILING_WRITTEN, Point.TRAILING_COMMITTED})
_SLOW = frozenset(
    {
        Point.ABSENCE_WRITTEN,
        Point.ABSENCE_COMMITTED,
        Point.RESEND_WRITTEN,
        Point.EXIT_AGAIN_COMMITTED,
        *_FLATTENING,
        *_RISING,
    }
)
# These come up only where a backup was put back (tests/crash/restored.py).
RESTORING = (
    Point.ADOPTION_WRITTEN,
    Point.ADOPTION_COMMITTED,
    Point.RESTORE_DOUBTED,
    Point.RESTORE_WRITTEN,
)
_EVERYDAY = tuple(point for point in Point if point not in RESTORING)
_FAULTS: Mapping[Point, Sequence[Mapping[str, Any]]] = {
    Point.ABSENCE_WRITTEN: _LOST,
    Point.ABSENCE_COMMITTED: _LOST,
    Point.RESEND_WRITTEN: _LOST,
    Point.EXIT_AGAIN_COMMITTED: _PARTIAL,
    Point.DOUBT_BEFORE_QUESTION: _UNHEARD,
    Point.DOUBT_ANSWERED: _UNHEARD,
    Point.FILLS_ANSWERED: _UNHEARD,
}
_CLOSING = frozenset(
    {
        Point.EXIT_CLAIM_WRITTEN,
        Point.EXIT_CLAIM_COMMITTED,
        Point.EXIT_AGAIN_COMMITTED,
        Point.CANCEL_WRITTEN,
        Point.CANCEL_COMMITTED,
        Point.CANCEL_ANSWERED,
    }
)
_FALLING = frozenset({Point.EXIT_INTENT_COMMITTED})
_READING = ["order.status", "allOrders", "myTrades", "openOrders"]


@dataclass(frozen=True, slots=True)
class Kill:
    """How a life of the node ends: at a point, or after a while from outside."""

    strike: Strike | None
    life_s: float

    @property
    def faults(self) -> Sequence[Mapping[str, Any]]:
        """What must go wrong for its point to come up."""
        return () if self.strike is None else _FAULTS.get(self.strike.point, ())

    @property
    def wants(self) -> str | None:
        """What must happen for its point to come up: buy, sell, fall, rise, flatten; None for a kill at random."""
        if self.strike is None:
            return None
        if self.strike.point in _FLATTENING:
            return "flatten"
        if self.strike.point in _RISING:
            return "rise"
        if self.strike.point in _FALLING:
            return "fall"
        return "sell" if self.strike.point in _CLOSING else "buy"


class Schedule:
    """Draws; the same seed draws the same things in the same order."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def kill(self, hit: Counter[str]) -> Kill:
        """Draw the end of a life; `hit` says how often each point was: a rare one is preferred."""
        draw = self._draw
        if draw.random() < 0.35:
            return self.kill_at_random()
        rarest = min(_EVERYDAY, key=lambda point: hit[point.value])
        point = rarest if draw.random() < 0.5 else draw.choice(_EVERYDAY)
        if point in _SLOW:
            return Kill(Strike(point), 4.0)
        delay_ms = draw.choice((0, 0, 0, 1, 3, 10, 30))
        return Kill(Strike(point, draw.choice((1, 1, 1, 1, 2, 4)), delay_ms), 2.5)

    def kill_at_random(self) -> Kill:
        """Draw a kill from outside, some time after the start."""
        return Kill(None, self._draw.uniform(0.02, 0.6))

    def kill_restored(self, hit: Counter[str]) -> Kill:
        """Draw the end of a life that takes a backup into use: mostly at the point of these that was hit least."""
        if self._draw.random() < 0.25:
            return Kill(None, self._draw.uniform(0.2, 1.5))
        return Kill(Strike(min(RESTORING, key=lambda point: hit[point.value]), self._draw.choice((1, 1, 2))), 4.0)

    def chance(self, probability: float) -> bool:
        """Draw yes or no."""
        return self._draw.random() < probability

    def pause_s(self) -> float:
        """Draw a wait between two things."""
        return self._draw.choice((0.0, 0.0, 0.01, 0.03, 0.1))

    def alert(self, opened: set[str]) -> tuple[str, str]:
        """Draw an alert: what to do, in which base; closes come for what was opened, and now and then for nothing."""
        base = self._draw.choice(BASES)
        is_close = base in opened and self._draw.random() < 0.7
        return ("sell" if is_close or self._draw.random() < 0.05 else "buy"), base

    def alert_for(self, wanted: str, opened: set[str]) -> tuple[str, str]:
        """Draw an alert that does what is wanted, as far as it can be done."""
        fitting = [base for base in BASES if (base in opened) is (wanted == "sell")]
        return wanted, self._draw.choice(fitting or list(BASES))

    def price_factor(self) -> Decimal:
        """Draw a move: mostly small, now and then through a stop or a target."""
        percent = self._draw.choice((-4, -3, -1, 0, 0, 1, 1, 7))
        return Decimal(100 + percent) / 100

    def base(self) -> str:
        """Draw a base asset."""
        return self._draw.choice(BASES)

    def place(self, count: int) -> int:
        """Draw one of several."""
        return self._draw.randrange(count)

    def fault(self) -> dict[str, Any]:
        """Draw a fault of the exchange; none lasts longer than its processing bound allows."""
        draw = self._draw
        times = draw.choice((1, 1, 2, 4))
        slow = draw.choice((20, 80, PROCESSING_MS - 20))
        return draw.choice(
            (
                {"kind": "execute_drop", "times": times},
                {"kind": "drop_before", "times": times},
                {"kind": "cut_mid_reply", "times": times},
                {"kind": "storm", "times": times},
                {
                    "kind": "delay_ms",
                    "value": slow,
                    "where": draw.choice(("before", "engine", "after")),
                    "times": times,
                },
                {"kind": "delay_ms", "value": 700, "where": "after", "times": times},
                {"kind": "status", "status": 503, "executed": draw.random() < 0.5, "times": times},
                {"kind": "timeout_1007", "executed": draw.random() < 0.5, "times": times},
                {"kind": "garbage_body", "executed": draw.random() < 0.5, "times": times},
                {"kind": "busy_1008", "times": times},
                {"kind": "partial_fill", "value": draw.choice((0.2, 0.5, 0.9)), "times": times},
                {"kind": "query_lag_ms", "value": draw.choice((100, 500, 900))},
                {"kind": "duplicate_fills", "times": times},
                {"kind": "late_fills", "value": draw.choice((50, 400)), "times": times},
                {"kind": "reorder", "times": times},
                {"kind": "stream_drop", "stream": draw.choice(("user", "market", "all"))},
                {"kind": "drop_before", "calls": ["order.cancel", "orderList.cancel"], "times": times},
                {"kind": "execute_drop", "calls": ["order.cancel", "orderList.cancel"], "times": times},
                {"kind": "status", "status": 503, "calls": _READING, "times": times},
            )
        )
