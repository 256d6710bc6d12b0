"""What may be judged of a lot: its state, and one thing to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tradewind.core.order import Order
from tradewind.core.position import Lot
from tradewind.core.protection import ExitCause, OcoWanted, PositionState, StopOnly
from tradewind.portfolio.holding import Holding


@dataclass(frozen=True, slots=True)
class Leave:
    """Sell the lot at market."""

    cause: ExitCause
    detail: str


@dataclass(frozen=True, slots=True)
class Hurry:
    """A level was reached while an exit of the lot waits for its next try: let it go now."""

    cause: ExitCause
    waiting: Order


@dataclass(frozen=True, slots=True)
class Put:
    """Record new protective orders and send them; `past` are the lot's earlier ones."""

    wanted: OcoWanted | StopOnly
    past: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send protective orders that stand recorded."""

    legs: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class TakeDown:
    """Cancel what rests, so that the right protection can be put up."""

    legs: tuple[Order, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class AskForCoins:
    """A sell was refused for want of coins: find out where they are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a lot's state is now and what is to be done; `raised` is the lot with its trailing stop gone up."""

    holding: Holding
    state: PositionState
    reason: str | None
    act: Leave | Hurry | Put | Send | TakeDown | AskForCoins | None = None
    again_at: datetime | None = None
    raised: Lot | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class ExitSeen:
    """An exit that covers the lot: whether it is selling now, or waits (for the market, or after a failed try).

    `waiting` is its next try where nothing but our own back-off holds that up.
    """

    is_selling: bool
    is_halted: bool
    waiting: Order | None = None
