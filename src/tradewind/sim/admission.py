"""What must be true before the simulated exchange changes anything: every refusal of its verbs.

Order of the checks, as `order/test` and the matching engine make them: symbol, composition, precision, filters; then
market and account state, duplicate client id, prices, balance. The venue publishes no order; this one is inferred.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tradewind.sim.drafts import Placing, check_composition, draft, leg_order, market_need
from tradewind.sim.exchange_state import Account
from tradewind.sim.exchange_view import ExchangeView
from tradewind.sim.filters import FilterFailure, OpenCounts, check_counts, check_order, check_precision
from tradewind.sim.market import Market
from tradewind.sim.matching import cost_of, quantity_of, walk_quantity, walk_quote
from tradewind.sim.pricing import Level
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    NO_ID,
    TRIGGER_TYPES,
    NewOco,
    NewOrder,
    Order,
    OrderType,
    Side,
    SymbolStatus,
)


class Admission(ExchangeView):
    """The checks; they change nothing and raise ExchangeRefusal."""

    def check_order(self, uid: int, new: NewOrder, now_ms: int) -> FilterFailure | None:
        """First filter the order would fail now, or None."""
        market = self._market(new.symbol)
        added = OpenCounts(1, int(new.type in TRIGGER_TYPES))
        if new.type is OrderType.MARKET:
            # it is never open, so it takes no place among the open orders
            added = OpenCounts()
        return check_order(market.rules, new, market.average_price(now_ms)) or check_counts(
            market.rules, self._open_counts(uid, new.symbol), added
        )

    def check_oco(self, uid: int, new: NewOco, now_ms: int) -> FilterFailure | None:
        """First filter a leg or the list as a whole would fail now, or None."""
        market = self._market(new.symbol)
        legs = (leg_order(new, new.above), leg_order(new, new.below))
        reference = market.average_price(now_ms)
        for leg in legs:
            if failure := check_order(market.rules, leg, reference):
                return failure
        added = OpenCounts(2, sum(leg.type in TRIGGER_TYPES for leg in legs), 1)
        return check_counts(market.rules, self._open_counts(uid, new.symbol), added)

    def test_order(self, uid: int, new: NewOrder, now_ms: int) -> None:
        """Check an order as far as `order/test` does: everything before the engine. Raises ExchangeRefusal."""
        self._market(new.symbol)
        check_composition(new)
        _refuse_precision(new)
        _refuse_filter(self.check_order(uid, new, now_ms))

    def _test_legs(self, uid: int, new: NewOco, now_ms: int) -> None:
        for leg in (leg_order(new, new.above), leg_order(new, new.below)):
            check_composition(leg)
            _refuse_precision(leg)
        _refuse_filter(self.check_oco(uid, new, now_ms))

    def _admit(self, uid: int, market: Market) -> Account:
        account = self._account(uid)
        if market.status is not SymbolStatus.TRADING:
            raise ExchangeRefusal(RefusalReason.MARKET_CLOSED)
        if not account.settings.can_trade:
            raise ExchangeRefusal(RefusalReason.ACCOUNT_DISABLED)
        return account

    def _refuse_open_id(self, uid: int, symbol: str, client_order_id: str | None) -> None:
        if client_order_id is not None and (uid, symbol, client_order_id) in self._state.open_client_ids:
            raise ExchangeRefusal(RefusalReason.DUPLICATE_ORDER)

    def _refuse_open_list_ids(self, uid: int, new: NewOco) -> None:
        above, below = new.above.client_order_id, new.below.client_order_id
        self._refuse_open_id(uid, new.symbol, above)
        self._refuse_open_id(uid, new.symbol, below)
        open_lists = {one.list_client_order_id for one in self.open_lists(uid) if one.symbol == new.symbol}
        if (above is not None and above == below) or new.list_client_order_id in open_lists:
            raise ExchangeRefusal(RefusalReason.DUPLICATE_ORDER)

    def _prepare(self, account: Account, market: Market, new: NewOrder, now_ms: int) -> tuple[Order, list[Level]]:
        """The order that would be accepted (still without its id) and, for MARKET, what it would take."""
        order = draft(new, Placing(NO_ID, account.uid, now_ms, market.last_price))
        slices: list[Level] = []
        if order.type is OrderType.MARKET:
            order, slices = self._prepare_market(market, new, order)
        elif order.type is OrderType.LIMIT_MAKER and self._execution.crossing(order):
            raise ExchangeRefusal(RefusalReason.WOULD_MATCH)
        elif not order.is_working and order.trailing_anchor is None and market.would_trigger(order):
            raise ExchangeRefusal(RefusalReason.WOULD_TRIGGER)
        if account.wallet[self._execution.hold_asset(order)].free < order.held:
            raise ExchangeRefusal(RefusalReason.INSUFFICIENT_BALANCE)
        return order, slices

    def _prepare_market(self, market: Market, new: NewOrder, order: Order) -> tuple[Order, list[Level]]:
        levels = market.model.side(market.rules, Side.SELL if new.side is Side.BUY else Side.BUY, market.last_price)
        if new.quote_quantity is None:
            slices, quantity = walk_quantity(levels, order.quantity, new.side, None), order.quantity
        else:
            slices, is_dry = walk_quote(levels, new.quote_quantity, market.rules.step)
            quantity = quantity_of(slices)
            if slices and is_dry:
                # the venue has no total quantity for such an order: ours is what the rest would buy at the last level
                rest = new.quote_quantity - cost_of(slices)
                quantity += market.rules.floor_qty(rest / slices[-1].price)
        if not slices:
            raise ExchangeRefusal(RefusalReason.NO_LIQUIDITY)
        return replace(order, quantity=quantity, held=market_need(new, slices)), slices

    def _open_counts(self, uid: int, symbol: str) -> OpenCounts:
        orders = self.open_orders(uid, symbol)
        lists = {order.order_list_id for order in orders} - {NO_ID}
        return OpenCounts(len(orders), sum(order.type in TRIGGER_TYPES for order in orders), len(lists))

    def _find_open(self, uid: int, symbol: str, order_id: int | None, client_order_id: str | None) -> Order:
        """The open order to cancel; the client id is one an open order bears. Raises ExchangeRefusal."""
        self._market(symbol)
        if order_id is None:
            key = (uid, symbol, client_order_id or "")
            order_id = self._state.open_client_ids.get(key)
        order = self._state.orders.get(order_id) if order_id is not None else None
        if order is None or (order.uid, order.symbol) != (uid, symbol) or not order.is_open:
            raise ExchangeRefusal(RefusalReason.UNKNOWN_ORDER)
        if client_order_id is not None and client_order_id != order.client_order_id:
            raise ExchangeRefusal(RefusalReason.CANCEL_MISMATCH)
        return order

    def _find_to_amend(self, uid: int, symbol: str, order_id: int | None, client_order_id: str | None) -> Order:
        try:
            order = self._find_open(uid, symbol, order_id, client_order_id)
        except ExchangeRefusal as refusal:
            if refusal.reason is RefusalReason.INVALID_SYMBOL:
                raise
            raise ExchangeRefusal(RefusalReason.AMEND_UNKNOWN) from refusal
        if order.order_list_id != NO_ID:
            # the venue amends some list members; this exchange amends none
            raise ExchangeRefusal(RefusalReason.AMEND_UNKNOWN)
        return order

    def _check_amendment(self, order: Order, new_quantity: Decimal, now_ms: int) -> None:
        if new_quantity > order.quantity:
            raise ExchangeRefusal(RefusalReason.AMEND_INCREASE)
        if new_quantity in (order.quantity, order.executed) or new_quantity < order.executed:
            raise ExchangeRefusal(RefusalReason.AMEND_NO_CHANGE)
        market = self._market(order.symbol)
        changed = NewOrder(
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            quantity=new_quantity,
            price=order.price or None,
            stop_price=order.stop_price or None,
        )
        _refuse_precision(changed)
        _refuse_filter(check_order(market.rules, changed, market.average_price(now_ms)))


def _refuse_precision(new: NewOrder) -> None:
    parameter = check_precision(new)
    if parameter is not None:
        raise ExchangeRefusal(RefusalReason.PRECISION, f"Parameter '{parameter}' has too much precision.")


def _refuse_filter(failure: FilterFailure | None) -> None:
    if failure is not None:
        raise ExchangeRefusal(RefusalReason.FILTER, failure.message)
