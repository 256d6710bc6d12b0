"""The market view: a regime with a score, from inputs that may each be missing (product.md D1-D4).

A view that is UNKNOWN neither helps nor hurts a decision. Score runs from 0 (all risk off) to 100 (all risk
on); 50 is neutral.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Regime(StrEnum):
    """Which way the whole market leans."""

    UNKNOWN = "unknown"
    RISK_ON = "risk_on"
    NEUTRAL = "neutral"
    RISK_OFF = "risk_off"


@dataclass(frozen=True, slots=True)
class MarketView:
    """A regime, its score, the time of its oldest input, and the inputs as (name, text with unit)."""

    regime: Regime
    score: Decimal | None = None
    at: datetime | None = None
    inputs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.score is not None and not 0 <= self.score <= 100:
            raise ValueError(f"a score lies between 0 and 100, got {self.score}")


UNKNOWN_VIEW = MarketView(Regime.UNKNOWN)
