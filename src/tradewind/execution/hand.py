"""Orders by hand (E7): the same road as a signal's order, with the user's own amount.

A buy is gated like any entry and gets stop and target unless the user says otherwise. A sell takes the
user's free coins; what Tradewind holds for a signal is touched only when the user says so, and then its
stop is cancelled first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tradewind.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from tradewind.core.gate import Closed, gate
from tradewind.core.ids import AccountId, IntentId, UserId
from tradewind.core.instrument import Instrument
from tradewind.core.money import EXACT, NOTHING, ZERO, Money, Price, Quantity, floor_to_step, plain
from tradewind.core.order import GateKind, IntentKind, Leg, Order, OrderType, Side
from tradewind.core.plan import day_start
from tradewind.core.risk import Refused, check
from tradewind.core.symbols import SymbolRef
from tradewind.execution import store
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order
from tradewind.execution.quotes import Quotes
from tradewind.execution.roster import AccountFacts, Roster
from tradewind.execution.sellable import other_coins
from tradewind.execution.stops import EPOCH_KEY
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.portfolio.service import balances_of, open_lots

# The mandate's defaults stand in where the user names no levels (product.md S1).
STOP_BPS_DEFAULT = 300
TARGET_BPS_DEFAULT = 600
_FRESH_S = 60
# What a taker's fee may take off a quantity bought, for the smallest sellable order.
_FEE_SHARE = Decimal("0.999")


@dataclass(frozen=True, slots=True)
class HandOrder:
    """What a person asks for; exactly one of `amount` (quote), `quantity` (base) and `is_all`."""

    user_id: UserId
    side: Side
    symbol: SymbolRef
    amount: Decimal | None = None
    quantity: Decimal | None = None
    is_all: bool = False
    account_id: AccountId | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    trailing_bps: int | None = None
    wants_protection: bool = True
    include_protected: bool = False


@dataclass(slots=True)
class HandDesk:
    """Turns hand orders into intents."""

    journal: Journal
    roster: Roster
    quotes: Quotes
    clock: Clock

    def instrument_for(self, account: AccountFacts, wanted: HandOrder) -> Instrument:
        """Choose the market. Raises InvalidInput for one that the venue does not list."""
        found = self.quotes.find(
            account.venue, account.environment, wanted.symbol.base, wanted.symbol.quote or account.quote, None
        )
        is_other = found is not None and wanted.symbol.quote not in (None, found.quote)
        if found is None or is_other:
            name = f"{wanted.symbol.base}/{wanted.symbol.quote}" if wanted.symbol.quote else wanted.symbol.base
            raise InvalidInput("unknown_symbol", f"{account.venue} has no spot market {name}.", fields={"symbol": name})
        return found

    def choose_account(self, tx: Tx, wanted: HandOrder, own: Sequence[AccountId]) -> AccountFacts:
        """Find the account an order is for. Raises NotFound, or InvalidInput where it must be named."""
        if wanted.account_id is not None and wanted.account_id not in own:
            raise NotFound("account_not_found", "There is no such account.")
        if wanted.account_id is None and len(own) != 1:
            raise InvalidInput(
                "account_unclear",
                f"You have {len(own)} accounts. Name one of them in `account`.",
                fields={"account": "name one"},
            )
        account_id = wanted.account_id or own[0]
        facts = self.roster.facts(tx, [account_id], self.clock.now())
        if account_id not in facts:
            raise NotFound("account_not_found", "There is no such account.")
        return facts[account_id]

    def place(self, tx: Tx, wanted: HandOrder, account: AccountFacts) -> Order:
        """Record an order by hand, INTENDED. Raises InvalidInput or Conflict with what to change."""
        instrument = self.instrument_for(account, wanted)
        price = self.quotes.fresh_price(account.venue, account.environment, instrument.symbol)
        if price is None:
            raise Unavailable("no_price", f"There is no fresh price of {instrument.symbol}. Try again in a moment.")
        self._demand_gate(account, wanted, instrument)
        if wanted.side is Side.BUY:
            return self._buy(tx, wanted, account, instrument, price)
        return self._sell(tx, wanted, account, instrument, price)

    @staticmethod
    def _demand_gate(account: AccountFacts, wanted: HandOrder, instrument: Instrument) -> None:
        kind = GateKind.ENTRY if wanted.side is Side.BUY else GateKind.EXIT
        # While the account is being reconciled the order waits, INTENDED, and says so.
        answer = gate(kind, replace(account.gate, is_reconciling=False))
        if isinstance(answer, Closed):
            texts = [reason.text() for reason in answer.reasons]
            raise Conflict(
                "gate_closed", " ".join(texts), fields={str(reason.code): reason.text() for reason in answer.reasons}
            )
        if not instrument.is_trading:
            raise Conflict("instrument_halted", f"{instrument.symbol} is not trading at {account.venue} now.")

    # --- buying ----------------------------------------------------------------------------------

    def _buy(self, tx: Tx, wanted: HandOrder, account: AccountFacts, instrument: Instrument, price: Price) -> Order:
        now = self.clock.now()
        free = self._free(tx, account, instrument)
        spend = Money(self._spend(wanted, instrument, price, free), instrument.quote)
        checked = check(spend, account.caps, self._spent_today(tx, account, now), free)
        if isinstance(checked, Refused):
            raise InvalidInput(str(checked.code), checked.text(), fields={"amount": checked.text()})
        stop, target = self._levels(wanted, instrument, price)
        self._demand_sellable(instrument, spend, price, stop)
        intent = self._intent(
            account,
            instrument,
            now,
            {
                "stop": None if stop is None else str(stop),
                "target": None if target is None else str(target),
                "trailing_bps": wanted.trailing_bps,
                "fresh_until": (now + timedelta(seconds=_FRESH_S)).isoformat(),
                EPOCH_KEY: account.stop_epoch,
            },
            is_done=True,
        )
        by_amount = wanted.quantity is None and instrument.has_market_by_quote
        quantity = Quantity(wanted.quantity or EXACT.divide(spend.amount, price.value))
        order = new_order(
            self.journal.ids,
            intent,
            instrument,
            account.environment,
            now,
            leg=Leg.ENTRY,
            side=Side.BUY,
            type=OrderType.MARKET,
            spend=spend if by_amount else None,
            quantity=None if by_amount else instrument.floor_quantity(quantity),
            is_stand_in=account.is_stand_in,
        )
        self.journal.intend(tx, intent, [order], now)
        return order

    @staticmethod
    def _spend(wanted: HandOrder, instrument: Instrument, price: Price, free: Money) -> Decimal:
        if wanted.is_all:
            return floor_to_step(free.amount, Decimal("0.01"))
        if wanted.amount is not None:
            return floor_to_step(wanted.amount, instrument.quote_step)
        assert wanted.quantity is not None
        return price.cost(instrument.floor_quantity(Quantity(wanted.quantity)))

    @staticmethod
    def _levels(wanted: HandOrder, instrument: Instrument, price: Price) -> tuple[Price | None, Price | None]:
        names_none = wanted.stop is None and wanted.target is None and wanted.trailing_bps is None
        if not wanted.wants_protection and names_none:
            return None, None
        stop_bps = STOP_BPS_DEFAULT if wanted.trailing_bps is None else wanted.trailing_bps
        stop = Price(wanted.stop) if wanted.stop is not None else price.shifted_bps(-stop_bps)
        target = Price(wanted.target) if wanted.target is not None else price.shifted_bps(TARGET_BPS_DEFAULT)
        if not stop < price < target:
            raise InvalidInput(
                "levels_wrong",
                f"The stop must lie below and the target above the price of {price} {instrument.quote}.",
                fields={"stop": str(stop), "target": str(target)},
            )
        return instrument.ceil_price(stop), instrument.floor_price(target)

    @staticmethod
    def _demand_sellable(instrument: Instrument, spend: Money, price: Price, stop: Price | None) -> None:
        got = Quantity(EXACT.multiply(EXACT.divide(spend.amount, price.value), _FEE_SHARE))
        if not instrument.is_sellable(got, stop or price):
            least = plain(instrument.min_notional)
            raise InvalidInput(
                "too_small",
                f"{spend} buys less {instrument.base} than {instrument.venue} lets you sell again at the stop "
                f"(smallest order {least} {instrument.quote}). Use a larger amount.",
                fields={"amount": str(spend)},
            )

    # --- selling ---------------------------------------------------------------------------------

    def _sell(self, tx: Tx, wanted: HandOrder, account: AccountFacts, instrument: Instrument, price: Price) -> Order:
        now = self.clock.now()
        lots = open_lots(tx, account_ids=[account.account_id], symbol=instrument.symbol)
        ours = NOTHING
        for holding in lots:
            ours = ours + holding.lot.quantity
        quantity = self._wanted_quantity(wanted, instrument, price)
        others = other_coins(tx, account.account_id, instrument.symbol, instrument.base)
        most = ours if wanted.include_protected else others
        if quantity is None:
            quantity = instrument.floor_quantity(most)
        if quantity > most or not instrument.is_sellable(quantity, price):
            raise InvalidInput("nothing_to_sell", self._sell_hint(wanted, instrument, quantity, most, ours))
        intent = self._intent(account, instrument, now, {"include_protected": wanted.include_protected}, is_done=False)
        order = new_order(
            self.journal.ids,
            intent,
            instrument,
            account.environment,
            now,
            leg=Leg.EXIT,
            side=Side.SELL,
            type=OrderType.MARKET,
            quantity=quantity,
            is_stand_in=account.is_stand_in,
        )
        self.journal.intend(tx, intent, [order], now)
        return order

    @staticmethod
    def _wanted_quantity(wanted: HandOrder, instrument: Instrument, price: Price) -> Quantity | None:
        if wanted.is_all:
            return None
        if wanted.quantity is not None:
            return instrument.floor_quantity(Quantity(wanted.quantity))
        assert wanted.amount is not None
        return instrument.floor_quantity(Quantity(EXACT.divide(wanted.amount, price.value)))

    @staticmethod
    def _sell_hint(
        wanted: HandOrder, instrument: Instrument, quantity: Quantity, most: Quantity, ours: Quantity
    ) -> str:
        text = f"{quantity} {instrument.base} cannot be sold: {most} {instrument.base} can."
        if not wanted.include_protected and ours.is_positive:
            text += (
                f" Another {ours} {instrument.base} is held for signals with its stop in place; "
                "set include_protected to sell that too."
            )
        return (
            f"{text} The smallest order at {instrument.venue} is {plain(instrument.min_notional)} {instrument.quote}."
        )

    # --- shared ----------------------------------------------------------------------------------

    def _intent(
        self, account: AccountFacts, instrument: Instrument, now: datetime, detail: dict[str, Any], *, is_done: bool
    ) -> Intent:
        return Intent(
            id=IntentId(self.journal.ids.new()),
            kind=IntentKind.HAND,
            user_id=account.user_id,
            account_id=account.account_id,
            symbol=instrument.symbol,
            created_at=now,
            detail={key: value for key, value in detail.items() if value is not None},
            is_done=is_done,
        )

    @staticmethod
    def _free(tx: Tx, account: AccountFacts, instrument: Instrument) -> Money:
        held = balances_of(tx, [account.account_id])[account.account_id].get(instrument.quote)
        free = ZERO if held is None else held.free
        for stored in store.committed_spend(tx, [account.account_id]):
            if stored.order.quote == instrument.quote and stored.order.spend is not None:
                free = EXACT.subtract(free, stored.order.spend.amount)
        return Money(max(ZERO, free), instrument.quote)

    @staticmethod
    def _spent_today(tx: Tx, account: AccountFacts, now: datetime) -> Decimal:
        total = ZERO
        for stored in store.entries_since(tx, [account.account_id], day_start(now)):
            order = stored.order
            bound = order.executed_quote if order.is_ended or order.spend is None else order.spend.amount
            total = EXACT.add(total, bound)
        return total
