"""What a decision looks at and what it says, as values (product.md D5, D7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tradewind.core.gate import GateInputs, GateReason
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Instrument, VenueName
from tradewind.core.money import NOTHING, ZERO, Money, Price, Quantity
from tradewind.core.plan import Plan
from tradewind.core.risk import Caps
from tradewind.core.sizing import Sized
from tradewind.core.skip import SkipReason
from tradewind.core.working import Working


class Verdict(StrEnum):
    """What the analysis says."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What an account has bound already, in the instrument's quote asset.

    `open_positions` and `pending_entries` count positions and entries not ended (BLIND included) under the
    mandate's source; `has_position_from_source`: a position or an entry on its way in this asset from this
    source; `position_quantity`: what that source's lots hold here; `committed_quote`: entries not ended plus
    filled lots at cost, of the mandate; `pending_quote`: spend of the account's entries not ended, which the
    venue has not yet taken from `free_quote`; `last_close_at`: alert time of the source's last close here.
    """

    open_positions: int = 0
    has_position_from_source: bool = False
    position_quantity: Quantity = NOTHING
    pending_entries: int = 0
    committed_quote: Decimal = ZERO
    pending_quote: Decimal = ZERO
    spent_today_quote: Decimal = ZERO
    weekly_entries_used: int = 0
    free_quote: Money | None = None
    free_quote_at: datetime | None = None
    last_close_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An account that a signal may concern, with the market facts of its venue.

    `instrument` is the one chosen by symbols.choose_instrument, `price` a fresh price of it (None: none is
    known); `is_preferred` False: the user prefers another account for this source; `follows_exchange` False:
    the source limits itself to an exchange that is not this one.
    """

    account_id: AccountId
    user_id: UserId
    venue: VenueName
    plan: Plan
    gate: GateInputs
    caps: Caps
    instrument: Instrument | None = None
    price: Price | None = None
    fee_bps: int = 10
    is_preferred: bool = True
    follows_exchange: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Do it. `entry` is the size, stop and target of a buy; None on an exit, which sells all that is held."""

    confidence_pct: int
    working: Working
    entry: Sized | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict.SELL if self.entry is None else Verdict.BUY


@dataclass(frozen=True, slots=True)
class Skip:
    """Do nothing, and why. `gate_reasons` lists what closed the gate."""

    reason: SkipReason
    working: Working
    gate_reasons: tuple[GateReason, ...] = ()
    confidence_pct: int | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict.HOLD
