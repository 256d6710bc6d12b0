"""What happens to an accepted order: it takes from the book, rests, fires, fills, ends.

Rules:
- an order spends only what it holds; what it holds beyond its remaining need goes back to free at once;
- a taker's price is the book's, a resting order's price is its own;
- a resting order fills when the modelled book on the other side reaches its price, for at most what is offered there;
- a fired order is reported NEW once more, then by its executions; a trailing order with a stop price begins to follow
  the price when that is reached (both inferred: the venue's pages do not say it);
- in an OCO, the moment one leg executes or fires the other expires with OCO_TRIGGER and its hold goes over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from tradewind.sim.exchange_state import Account, Turn
from tradewind.sim.fees import Commission, FeeSchedule, commission_on, discounted_commission
from tradewind.sim.filters import triggers_above
from tradewind.sim.market import Market
from tradewind.sim.matching import cost_of, cut, quantity_of, walk_quantity
from tradewind.sim.pricing import Level
from tradewind.sim.types import (
    MARKET_LIKE_TYPES,
    ZERO,
    ExecutionType,
    ExpiryReason,
    Fill,
    ListOrderStatus,
    ListStatusType,
    Order,
    OrderStatus,
    Side,
    TimeInForce,
)

_BPS = Decimal(10_000)


class Execution:
    """The mechanics shared by placing, cancelling and prints; every method changes state only through its turn."""

    def __init__(self, markets: Mapping[str, Market], fees: FeeSchedule) -> None:
        self._markets = markets
        self._fees = fees
        # order id -> largest share of its remaining quantity that one match may give (a fault, not persisted)
        self.fill_fractions: dict[int, Decimal] = {}

    def hold_asset(self, order: Order) -> str:
        """Name the asset an order spends: quote for BUY, base for SELL."""
        rules = self._markets[order.symbol].rules
        return rules.quote if order.side is Side.BUY else rules.base

    def accept(self, turn: Turn, order: Order) -> Order:
        """Lock what the order holds and report it NEW."""
        if order.held:
            self._account(turn, order).wallet.hold(self.hold_asset(order), order.held)
            turn.touch(order.uid, self.hold_asset(order))
        turn.put_order(order)
        turn.report(ExecutionType.NEW, order)
        return order

    def take(self, turn: Turn, order: Order, slices: list[Level], when_dry: ExpiryReason) -> Order:
        """Execute an order against these slices at once; what remains expires for the reason given."""
        for part in self._capped(order, slices):
            order = self._fill(turn, order, part, is_maker=False)
        if order.is_open:
            order = self.end(turn, order, OrderStatus.EXPIRED, when_dry)
        return order

    def take_limit(self, turn: Turn, order: Order) -> Order:
        """Execute a limit order: take what its limit allows, then rest or expire as its time in force says."""
        market = self._markets[order.symbol]
        slices = self._capped(order, self.crossing(order))
        if order.time_in_force is TimeInForce.FOK and quantity_of(slices) < order.remaining:
            return self.end(turn, order, OrderStatus.EXPIRED, ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED)
        for part in slices:
            order = self._fill(turn, order, part, is_maker=False)
        if order.is_open and order.time_in_force is TimeInForce.IOC:
            return self.end(turn, order, OrderStatus.EXPIRED, ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED)
        if order.is_open:
            market.wait(order)
        return order

    def crossing(self, order: Order) -> list[Level]:
        """What the other side of the book offers within the order's limit now."""
        market = self._markets[order.symbol]
        other = Side.SELL if order.side is Side.BUY else Side.BUY
        levels = market.model.side(market.rules, other, market.last_price)
        return walk_quantity(levels, order.remaining, order.side, order.price)

    def meet_price(self, turn: Turn, order: Order) -> None:
        """Act on an order that the last price or the book has reached."""
        if order.is_working:
            self._fill_resting(turn, order)
        elif order.trailing_delta is None:
            self._fire(turn, order)
        elif order.trailing_anchor is None:
            self._begin_trailing(turn, order)
        else:
            self._trail(turn, order)

    def end(
        self, turn: Turn, order: Order, status: OrderStatus, reason: ExpiryReason, client_order_id: str | None = None
    ) -> Order:
        """Close an order that no longer waits anywhere, give back its hold, and report it.

        `client_order_id` is the cancel's own id, which takes the place of the order's (`rest-api.md`, 2026-07-21).
        """
        self._release(turn, order, order.held)
        ended = replace(order, status=status, expiry_reason=reason, held=ZERO, updated_ms=turn.now_ms)
        if client_order_id is not None:
            ended = replace(ended, client_order_id=client_order_id, orig_client_order_id=order.client_order_id)
        turn.put_order(ended)
        self.fill_fractions.pop(order.order_id, None)
        is_cancel = status is OrderStatus.CANCELED
        turn.report(ExecutionType.CANCELED if is_cancel else ExecutionType.EXPIRED, ended)
        return ended

    def end_list(self, turn: Turn, order: Order) -> None:
        """Report an order's list done when no member is open any more."""
        order_list = turn.state.lists.get(order.order_list_id)
        if order_list is None or order_list.order_status is not ListOrderStatus.EXECUTING:
            return
        if any(turn.state.orders[member.order_id].is_open for member in order_list.members):
            return
        done = replace(
            order_list,
            status_type=ListStatusType.ALL_DONE,
            order_status=ListOrderStatus.ALL_DONE,
            updated_ms=turn.now_ms,
        )
        turn.put_list(done)

    def _fill_resting(self, turn: Turn, order: Order) -> None:
        offered = quantity_of(self._capped(order, self.crossing(order)))
        if offered <= 0:
            return
        order = self._take_over(turn, order)
        filled = self._fill(turn, order, Level(order.price, offered), is_maker=True)
        if not filled.is_open:
            self._markets[order.symbol].leave(order)
            self.end_list(turn, filled)

    def _fire(self, turn: Turn, order: Order) -> None:
        market = self._markets[order.symbol]
        market.leave(order)
        order = self._take_over(turn, order)
        order = replace(order, is_working=True, working_time_ms=turn.now_ms, updated_ms=turn.now_ms)
        turn.put_order(order)
        turn.report(ExecutionType.NEW, order)
        is_market = order.type in MARKET_LIKE_TYPES
        order = self._take_market(turn, order) if is_market else self.take_limit(turn, order)
        self.end_list(turn, order)

    def _take_market(self, turn: Turn, order: Order) -> Order:
        """Execute a fired stop at the market, for as much as its account can pay."""
        market = self._markets[order.symbol]
        other = Side.SELL if order.side is Side.BUY else Side.BUY
        levels = market.model.side(market.rules, other, market.last_price)
        slices = walk_quantity(levels, order.remaining, order.side, None)
        if order.side is Side.SELL:
            return self.take(turn, order, slices, ExpiryReason.INSUFFICIENT_LIQUIDITY)
        wallet = self._account(turn, order).wallet
        payable = _within(slices, order.held + wallet[market.rules.quote].free, market.rules.step)
        short = cost_of(payable) - order.held
        if short > 0:
            # the price ran past the trigger: the order was held for less than it now costs
            wallet.hold(market.rules.quote, short)
            order = replace(order, held=order.held + short)
        is_poor = quantity_of(payable) < quantity_of(slices)
        return self.take(
            turn, order, payable, ExpiryReason.REJECTED if is_poor else ExpiryReason.INSUFFICIENT_LIQUIDITY
        )

    def _begin_trailing(self, turn: Turn, order: Order) -> None:
        market = self._markets[order.symbol]
        market.leave(order)
        order = replace(order, trailing_anchor=market.last_price, trailing_time_ms=turn.now_ms)
        turn.put_order(order)
        market.wait(order)

    def _trail(self, turn: Turn, order: Order) -> None:
        """Move the best price seen, or fire when the price came back from it by the delta."""
        last, anchor, delta = self._markets[order.symbol].last_price, order.trailing_anchor, order.trailing_delta
        assert anchor is not None
        assert delta is not None
        if triggers_above(order.side, order.type):
            best, has_fired = min(anchor, last), last >= anchor * (1 + delta / _BPS)
        else:
            best, has_fired = max(anchor, last), last <= anchor * (1 - delta / _BPS)
        if has_fired:
            self._fire(turn, order)
        elif best != anchor:
            turn.put_order(replace(order, trailing_anchor=best))

    def _take_over(self, turn: Turn, order: Order) -> Order:
        """Expire the other leg of an OCO and move its hold to this one; other orders pass unchanged."""
        order_list = turn.state.lists.get(order.order_list_id)
        if order_list is None:
            return order
        for member in order_list.members:
            sibling = turn.state.orders[member.order_id]
            if sibling.order_id == order.order_id or not sibling.is_open:
                continue
            self._markets[sibling.symbol].leave(sibling)
            order = replace(order, held=order.held + sibling.held)
            self.end(turn, replace(sibling, held=ZERO), OrderStatus.EXPIRED, ExpiryReason.OCO_TRIGGER)
        order = self.keep_needed(turn, order)
        turn.put_order(order)
        return order

    def keep_needed(self, turn: Turn, order: Order) -> Order:
        """Give back what an order holds beyond its remaining need."""
        spare = order.held - self._need(order)
        if spare <= 0:
            return order
        self._release(turn, order, spare)
        return replace(order, held=order.held - spare)

    def _need(self, order: Order) -> Decimal:
        if order.side is Side.SELL:
            return order.remaining
        # a market-like buy cannot know its price: it keeps all it holds until it ends
        return order.held if order.type in MARKET_LIKE_TYPES else order.price * order.remaining

    def _fill(self, turn: Turn, order: Order, part: Level, *, is_maker: bool) -> Order:
        market = self._markets[order.symbol]
        rules = market.rules
        account = self._account(turn, order)
        quote = part.price * part.quantity
        spent, received = (quote, part.quantity) if order.side is Side.BUY else (part.quantity, quote)
        received_asset = rules.base if order.side is Side.BUY else rules.quote
        account.wallet.spend_held(self.hold_asset(order), spent)
        account.wallet.credit(received_asset, received)
        commission = self._charge(account, market, (received_asset, received), quote, is_maker=is_maker)
        turn.touch(order.uid, rules.base, rules.quote, commission.asset)
        fill = Fill(
            trade_id=turn.next_trade_id(),
            order_id=order.order_id,
            order_list_id=order.order_list_id,
            uid=order.uid,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            side=order.side,
            price=part.price,
            quantity=part.quantity,
            quote=quote,
            commission=commission.amount,
            commission_asset=commission.asset,
            is_maker=is_maker,
            at_ms=turn.now_ms,
        )
        turn.put_fill(fill)
        order = self._after_fill(turn, order, fill, spent)
        turn.put_order(order)
        turn.report(ExecutionType.TRADE, order, fill)
        return order

    def _after_fill(self, turn: Turn, order: Order, fill: Fill, spent: Decimal) -> Order:
        executed = order.executed + fill.quantity
        assert executed <= order.quantity, f"order {order.order_id} would execute {executed} of {order.quantity}"
        is_filled = executed == order.quantity
        order = replace(
            order,
            executed=executed,
            quote_executed=order.quote_executed + fill.quote,
            status=OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED,
            held=order.held - spent,
            updated_ms=turn.now_ms,
        )
        if is_filled:
            self._release(turn, order, order.held)
            self.fill_fractions.pop(order.order_id, None)
            return replace(order, held=ZERO)
        return self.keep_needed(turn, order)

    def _charge(
        self, account: Account, market: Market, received: tuple[str, Decimal], quote: Decimal, *, is_maker: bool
    ) -> Commission:
        own = account.settings.maker_bps if is_maker else account.settings.taker_bps
        rate = own if own is not None else self._fees.maker_bps if is_maker else self._fees.taker_bps
        if account.settings.pays_fees_in_bnb:
            pair = self._markets.get(self._fees.discount_asset + market.rules.quote)
            price = self._fees.discount_price if pair is None else pair.last_price
            commission = discounted_commission(self._fees, quote, rate, price)
            if account.wallet[commission.asset].free >= commission.amount:
                account.wallet.debit(commission.asset, commission.amount)
                return commission
        commission = commission_on(*received, rate)
        account.wallet.debit(commission.asset, commission.amount)
        return commission

    def _release(self, turn: Turn, order: Order, amount: Decimal) -> None:
        if amount > 0:
            self._account(turn, order).wallet.release(self.hold_asset(order), amount)
            turn.touch(order.uid, self.hold_asset(order))

    def _capped(self, order: Order, slices: list[Level]) -> list[Level]:
        fraction = self.fill_fractions.get(order.order_id)
        if fraction is None:
            return slices
        return cut(slices, self._markets[order.symbol].rules.floor_qty(order.remaining * fraction))

    def _account(self, turn: Turn, order: Order) -> Account:
        return turn.state.accounts[order.uid]


def _within(slices: list[Level], money: Decimal, step: Decimal) -> list[Level]:
    """The first part of a walk that costs no more than `money`."""
    kept: list[Level] = []
    for level in slices:
        quantity = min(level.quantity, money / level.price // step * step)
        if quantity <= 0:
            break
        kept.append(Level(level.price, quantity))
        money -= quantity * level.price
        if quantity < level.quantity:
            break
    return kept
