"""The simulated exchange: the verbs that change it. Pure logic, no clock, no network, one thread.

Invariants, kept by every verb:
- a refusal (ExchangeRefusal) comes before the first change: it leaves no trace but the caller's;
- a verb's changes are durable in one transaction before it returns; ids only grow, also over restarts;
- locked balance = sum of `held` over open orders; what fills move between two assets is exact but for the commission.
Last prices, symbol states and fill limits are not kept over a restart: they come from the tape and from who set them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from tradewind.sim.admission import Admission
from tradewind.sim.drafts import check_oco_layout, check_oco_prices, leg_order, own_client_id
from tradewind.sim.exchange_state import Account, Turn
from tradewind.sim.exchange_store import ExchangeStore
from tradewind.sim.exchange_view import ExchangeSettings
from tradewind.sim.instruments import SymbolRules
from tradewind.sim.market import Market
from tradewind.sim.pricing import BookModel
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    STOP_TYPES,
    ZERO,
    AccountSettings,
    Amended,
    Cancelled,
    CancelRestriction,
    Event,
    ExecutionType,
    ExpiryReason,
    ListMember,
    ListOrderStatus,
    ListStatusType,
    NewOco,
    NewOrder,
    Order,
    OrderList,
    OrderStatus,
    OrderType,
    Placed,
    PlacedList,
    Print,
    SymbolStatus,
)


class Exchange(Admission):
    """Accounts, orders and markets; ExchangeView holds the questions, Admission the refusals."""

    def __init__(
        self,
        rules: Mapping[str, SymbolRules],
        first_prices: Mapping[str, Decimal],
        *,
        book_model: BookModel | None = None,
        settings: ExchangeSettings | None = None,
        store: ExchangeStore | None = None,
    ) -> None:
        super().__init__(rules, first_prices, book_model=book_model, settings=settings, store=store)
        self._fill_limits: dict[int | None, tuple[Decimal, int | None]] = {}

    # accounts

    def create_account(self, uid: int, settings: AccountSettings | None = None) -> None:
        """Open an empty account; an existing one keeps its balances, and its settings unless some are given."""
        if uid not in self._state.accounts or settings is not None:
            self.configure_account(uid, settings or AccountSettings())

    def configure_account(self, uid: int, settings: AccountSettings) -> None:
        """Set an account's flags and rates, opening it when it is new."""
        account = self._state.accounts.get(uid) or Account(uid, settings)
        turn = self._turn(account.updated_ms)
        account.settings = settings
        turn.put_account(account)
        turn.finish()

    def deposit(self, uid: int, asset: str, amount: Decimal, now_ms: int) -> tuple[Event, ...]:
        """Bring money in from outside (amount > 0)."""
        return self._transfer(uid, asset, _positive(amount), now_ms)

    def withdraw(self, uid: int, asset: str, amount: Decimal, now_ms: int) -> tuple[Event, ...]:
        """Take free money out (amount > 0). Raises ExchangeRefusal INSUFFICIENT_BALANCE."""
        return self._transfer(uid, asset, -_positive(amount), now_ms)

    # orders

    def place(self, uid: int, new: NewOrder, now_ms: int) -> Placed:
        """Accept an order and execute what can be executed now. Raises ExchangeRefusal, having changed nothing."""
        self.test_order(uid, new, now_ms)
        market = self._market(new.symbol)
        account = self._admit(uid, market)
        self._refuse_open_id(uid, new.symbol, new.client_order_id)
        order, slices = self._prepare(account, market, new, now_ms)
        turn = self._turn(now_ms)
        order = self._execution.accept(turn, self._number(turn, new, order))
        if order.type is OrderType.MARKET:
            order = self._execution.take(turn, order, slices, ExpiryReason.INSUFFICIENT_LIQUIDITY)
        elif order.is_working:
            order = self._execution.take_limit(turn, order)
        else:
            market.wait(order)
        return Placed(order, tuple(turn.fills), turn.finish())

    def place_oco(self, uid: int, new: NewOco, now_ms: int) -> PlacedList:
        """Accept two orders of which one ends the other. Raises ExchangeRefusal, having changed nothing."""
        market = self._market(new.symbol)
        check_oco_layout(new)
        self._test_legs(uid, new, now_ms)
        account = self._admit(uid, market)
        self._refuse_open_list_ids(uid, new)
        check_oco_prices(new, market.last_price)
        # the stop leg comes first, as in the venue's samples
        legs = sorted(
            (leg_order(new, new.below), leg_order(new, new.above)), key=lambda leg: leg.type not in STOP_TYPES
        )
        drafts = [self._prepare(account, market, leg, now_ms)[0] for leg in legs]
        turn = self._turn(now_ms)
        list_id = turn.next_list_id()
        holds = (max(order.held for order in drafts), ZERO)
        orders = [
            self._number(turn, leg, replace(order, order_list_id=list_id, held=hold))
            for leg, order, hold in zip(legs, drafts, holds, strict=True)
        ]
        for order in orders:
            market.wait(self._execution.accept(turn, order))
        order_list = _new_list(new, list_id, orders)
        turn.put_list(order_list)
        return PlacedList(order_list, tuple(orders), turn.finish())

    def cancel(
        self,
        uid: int,
        symbol: str,
        now_ms: int,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        new_client_order_id: str | None = None,
        restriction: CancelRestriction | None = None,
    ) -> Cancelled:
        """Cancel an open order, and with a list's member the whole list. Raises ExchangeRefusal."""
        order = self._find_open(uid, symbol, order_id, client_order_id)
        allowed = {
            None: order.status,
            CancelRestriction.ONLY_NEW: OrderStatus.NEW,
            CancelRestriction.ONLY_PARTIALLY_FILLED: OrderStatus.PARTIALLY_FILLED,
        }
        if order.status is not allowed[restriction]:
            raise ExchangeRefusal(RefusalReason.CANCEL_RESTRICTED)
        return self._cancel_orders([order], new_client_order_id, now_ms)

    def cancel_list(
        self,
        uid: int,
        symbol: str,
        now_ms: int,
        *,
        order_list_id: int | None = None,
        list_client_order_id: str | None = None,
        new_client_order_id: str | None = None,
    ) -> Cancelled:
        """Cancel every open member of a list. Raises ExchangeRefusal UNKNOWN_ORDER when none is open."""
        self._market(symbol)
        known = self.find_list(uid, order_list_id=order_list_id, list_client_order_id=list_client_order_id)
        if known is None or known.symbol != symbol or known.order_status is not ListOrderStatus.EXECUTING:
            raise ExchangeRefusal(RefusalReason.UNKNOWN_ORDER)
        members = [self._state.orders[member.order_id] for member in known.members]
        return self._cancel_orders([order for order in members if order.is_open], new_client_order_id, now_ms)

    def cancel_all(self, uid: int, symbol: str, now_ms: int) -> Cancelled:
        """Cancel all open orders of a symbol. Raises ExchangeRefusal UNKNOWN_ORDER when there are none."""
        self._market(symbol)
        orders = self.open_orders(uid, symbol)
        if not orders:
            raise ExchangeRefusal(RefusalReason.UNKNOWN_ORDER)
        return self._cancel_orders(orders, None, now_ms)

    def amend(
        self,
        uid: int,
        symbol: str,
        now_ms: int,
        *,
        new_quantity: Decimal,
        order_id: int | None = None,
        client_order_id: str | None = None,
        new_client_order_id: str | None = None,
    ) -> Amended:
        """Lower the quantity of an open order that is in no list, keeping its place. Raises ExchangeRefusal.

        The given client id, or one the exchange makes, takes the place of the order's (`rest-api.md`).
        """
        order = self._find_to_amend(uid, symbol, order_id, client_order_id)
        self._check_amendment(order, new_quantity, now_ms)
        if new_client_order_id != order.client_order_id:
            self._refuse_open_id(uid, symbol, new_client_order_id)
        turn = self._turn(now_ms)
        execution_id = turn.state.ids.execution + 1
        client_id = new_client_order_id or own_client_id(execution_id, "amend")
        order = replace(order, quantity=new_quantity, updated_ms=now_ms, client_order_id=client_id)
        order = self._execution.keep_needed(turn, order)
        turn.put_order(order)
        turn.report(ExecutionType.REPLACED, order)
        return Amended(order, execution_id, turn.finish())

    # market

    def on_print(self, tick: Print, now_ms: int) -> tuple[Event, ...]:
        """Take a print: the new last price, and everything it sets off."""
        return self.on_prints((tick,), now_ms)

    def on_prints(self, prints: Iterable[Print], now_ms: int) -> tuple[Event, ...]:
        """Take prints in order, as one transaction. Raises ExchangeRefusal INVALID_SYMBOL before any of them counts."""
        seen = [(tick, self._market(tick.symbol)) for tick in prints]
        turn = self._turn(now_ms)
        for tick, market in seen:
            market.see(tick.price, tick.quantity, now_ms)
            self._meet_orders(turn, market)
        return turn.finish()

    def set_price(self, symbol: str, price: Decimal, now_ms: int) -> tuple[Event, ...]:
        """Force a last price (rounded down to the tick) without volume, with everything it sets off."""
        rules = self.rules(symbol)
        return self.on_print(Print(now_ms, symbol, max(rules.floor_price(price), rules.tick), ZERO, 0), now_ms)

    def set_symbol_status(self, symbol: str, status: SymbolStatus) -> None:
        """Halt or resume a symbol: while it is not TRADING no order is accepted and none executes; cancels work."""
        self._market(symbol).status = status

    # faults

    def limit_fills(self, fraction: Decimal, *, uid: int | None = None, orders: int | None = None) -> None:
        """Let each match give coming orders at most this share of their remaining quantity (0 to 1).

        For one account, or all that have no limit of their own (`uid` None); for the next `orders` orders, or until
        `clear_fill_limits`. An order keeps its limit for its life; a MARKET order cut short ends EXPIRED.
        """
        if not 0 <= fraction <= 1:
            raise ValueError("a fill fraction lies between 0 and 1")
        self._fill_limits[uid] = (fraction, orders)

    def clear_fill_limits(self) -> None:
        """Let coming orders fill as the book allows; orders placed before keep their limit."""
        self._fill_limits.clear()

    def close(self) -> None:
        """Close the store; no verb works afterwards."""
        self._store.close()

    def _turn(self, now_ms: int) -> Turn:
        return Turn(self._state, self._store, now_ms)

    def _transfer(self, uid: int, asset: str, delta: Decimal, now_ms: int) -> tuple[Event, ...]:
        account = self._account(uid)
        if account.wallet[asset].free + delta < 0:
            raise ExchangeRefusal(RefusalReason.INSUFFICIENT_BALANCE)
        turn = self._turn(now_ms)
        account.wallet.credit(asset, delta)
        turn.touch(uid, asset)
        turn.report_transfer(uid, asset, delta)
        return turn.finish()

    def _number(self, turn: Turn, new: NewOrder, order: Order) -> Order:
        """Give a draft its ids, and the fill limit that waits for its account."""
        order_id = turn.next_order_id()
        client_id = new.client_order_id or own_client_id(order_id, "order")
        key = order.uid if order.uid in self._fill_limits else None
        if key in self._fill_limits:
            fraction, left = self._fill_limits[key]
            self._execution.fill_fractions[order_id] = fraction
            if left is not None and left <= 1:
                del self._fill_limits[key]
            elif left is not None:
                self._fill_limits[key] = (fraction, left - 1)
        return replace(order, order_id=order_id, client_order_id=client_id)

    def _cancel_orders(self, orders: list[Order], new_client_order_id: str | None, now_ms: int) -> Cancelled:
        turn = self._turn(now_ms)
        cancelled: list[Order] = []
        for order in self._with_siblings(orders):
            self._markets[order.symbol].leave(order)
            client_id = new_client_order_id or own_client_id(turn.state.ids.execution + 1, "cancel")
            ended = self._execution.end(turn, order, OrderStatus.CANCELED, ExpiryReason.NONE, client_id)
            cancelled.append(ended)
            self._execution.end_list(turn, ended)
        list_ids = dict.fromkeys(order.order_list_id for order in cancelled if order.order_list_id in self._state.lists)
        lists = tuple(self._state.lists[list_id] for list_id in list_ids)
        return Cancelled(tuple(cancelled), lists, turn.finish())

    def _with_siblings(self, orders: list[Order]) -> list[Order]:
        """The orders and every open member of their lists, each once, oldest first."""
        found = {order.order_id: order for order in orders}
        for order in orders:
            order_list = self._state.lists.get(order.order_list_id)
            for member in order_list.members if order_list else ():
                sibling = self._state.orders[member.order_id]
                if sibling.is_open:
                    found[sibling.order_id] = sibling
        return [found[order_id] for order_id in sorted(found)]

    def _meet_orders(self, turn: Turn, market: Market) -> None:
        if market.status is not SymbolStatus.TRADING:
            return
        for order_id in market.reached():
            order = self._state.orders[order_id]
            # an order of this round may have expired with the other leg of its list
            if order.is_open:
                self._execution.meet_price(turn, order)
                turn.settle()


def _positive(amount: Decimal) -> Decimal:
    if not amount.is_finite() or amount <= 0:
        raise ValueError("an amount to move must be positive")
    return amount


def _new_list(new: NewOco, list_id: int, orders: list[Order]) -> OrderList:
    return OrderList(
        order_list_id=list_id,
        uid=orders[0].uid,
        symbol=new.symbol,
        list_client_order_id=new.list_client_order_id or own_client_id(list_id, "list"),
        contingency_type="OCO",
        status_type=ListStatusType.EXEC_STARTED,
        order_status=ListOrderStatus.EXECUTING,
        members=tuple(ListMember(order.order_id, order.client_order_id) for order in orders),
        created_ms=orders[0].created_ms,
        updated_ms=orders[0].created_ms,
    )
