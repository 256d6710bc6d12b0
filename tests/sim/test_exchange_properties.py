"""Whatever is done to the exchange: no money appears or disappears, and the file knows it all."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.exchange import SYMBOL, oco, order, refused, small_exchange, tick

from tradewind.sim.exchange import Exchange
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    AccountSettings,
    Event,
    NewOrder,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
    SymbolStatus,
    TimeInForce,
)

D = Decimal
UIDS = (1, 2)
ASSETS = ("USDT", "ABC", "BNB")

uids = st.sampled_from(UIDS)
sides = st.sampled_from(list(Side))
quantities = st.integers(100, 300_000).map(lambda steps: D(steps).scaleb(-3))
prices = st.integers(9_000, 11_000).map(lambda ticks: D(ticks).scaleb(-2))
client_ids = st.sampled_from(["a", "b", "c", None])


class Trading(RuleBasedStateMachine):
    """Two accounts trade at random while the price wanders."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.now = 0
        self.deposited = dict.fromkeys([(uid, asset) for uid in UIDS for asset in ASSETS], D(0))
        self.last_execution = 0
        self.exchange = self.open()

    @initialize(in_bnb=st.booleans())
    def fund(self, in_bnb: bool) -> None:
        for uid in UIDS:
            self.exchange.create_account(uid, AccountSettings(pays_fees_in_bnb=in_bnb and uid == 1))
            for asset, amount in (("USDT", D(50_000)), ("ABC", D(500)), ("BNB", D("0.05"))):
                self.exchange.deposit(uid, asset, amount, self.now)
                self.deposited[uid, asset] += amount

    @rule(uid=uids, side=sides, quantity=quantities, client_id=client_ids)
    def market(self, uid: int, side: Side, quantity: Decimal, client_id: str | None) -> None:
        self.attempt(uid, order(f"{side} MARKET {quantity}", client_order_id=client_id))

    @rule(uid=uids, side=sides, cents=st.integers(500, 6_000_000))
    def market_by_quote(self, uid: int, side: Side, cents: int) -> None:
        quote = D(cents).scaleb(-2)
        self.attempt(uid, NewOrder(SYMBOL, side, OrderType.MARKET, quote_quantity=quote))

    @rule(
        uid=uids,
        side=sides,
        quantity=quantities,
        price=prices,
        kind=st.sampled_from([OrderType.LIMIT, OrderType.LIMIT_MAKER]),
        time_in_force=st.sampled_from(list(TimeInForce)),
        client_id=client_ids,
    )
    def limit(
        self,
        uid: int,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        kind: OrderType,
        time_in_force: TimeInForce,
        client_id: str | None,
    ) -> None:
        timed = time_in_force if kind is OrderType.LIMIT else None
        line = f"{side} {kind} {quantity} @ {price}"
        self.attempt(uid, order(line, time_in_force=timed, client_order_id=client_id))

    @rule(
        uid=uids,
        side=sides,
        quantity=quantities,
        stop=prices,
        price=prices,
        is_stop=st.booleans(),
        trails=st.booleans(),
    )
    def trigger(
        self, uid: int, side: Side, quantity: Decimal, stop: Decimal, price: Decimal, is_stop: bool, trails: bool
    ) -> None:
        kind = OrderType.STOP_LOSS if is_stop else OrderType.TAKE_PROFIT_LIMIT
        limit = "" if is_stop else f" @ {price}"
        self.attempt(uid, order(f"{side} {kind} {quantity}{limit} stop {stop}", trailing_delta=200 if trails else None))

    @rule(uid=uids, side=st.sampled_from(["BUY", "SELL"]), quantity=quantities, above=prices, below=prices)
    def list_of_two(self, uid: int, side: str, quantity: Decimal, above: Decimal, below: Decimal) -> None:
        new = oco(side, str(quantity), str(above), str(below))
        self.act(lambda: self.exchange.place_oco(uid, new, self.now).events)

    @rule(uid=uids, place=st.integers(0, 20))
    def cancel(self, uid: int, place: int) -> None:
        orders = self.exchange.open_orders(uid)
        if orders:
            chosen = orders[place % len(orders)].order_id
            self.act(lambda: self.exchange.cancel(uid, SYMBOL, self.now, order_id=chosen).events)

    @rule(uid=uids, place=st.integers(0, 20), quantity=quantities)
    def amend(self, uid: int, place: int, quantity: Decimal) -> None:
        orders = self.exchange.open_orders(uid)
        if orders:
            chosen = orders[place % len(orders)].order_id
            self.act(lambda: self.exchange.amend(uid, SYMBOL, self.now, order_id=chosen, new_quantity=quantity).events)

    @rule(price=prices)
    def print(self, price: Decimal) -> None:
        self.act(lambda: self.exchange.on_print(tick(str(price)), self.now))

    @rule(fraction=st.sampled_from([D(0), D("0.3"), D(1)]), uid=st.sampled_from([None, 1]))
    def limit_fills(self, fraction: Decimal, uid: int | None) -> None:
        self.exchange.limit_fills(fraction, uid=uid, orders=1)

    @rule(is_halted=st.booleans())
    def halt(self, is_halted: bool) -> None:
        self.exchange.set_symbol_status(SYMBOL, SymbolStatus.HALT if is_halted else SymbolStatus.TRADING)

    @rule()
    def reopen(self) -> None:
        before = self.whole()
        self.exchange.close()
        price = self.exchange.last_price(SYMBOL)
        self.exchange = self.open()
        assert self.whole() == before
        self.act(lambda: self.exchange.set_price(SYMBOL, price, self.now))

    @invariant()
    def money_is_conserved(self) -> None:
        for uid in UIDS:
            expected = {asset: self.deposited[uid, asset] for asset in ASSETS}
            for fill in self.exchange.my_trades(uid, SYMBOL) if self.exchange.has_account(uid) else []:
                sign = 1 if fill.side is Side.BUY else -1
                expected["ABC"] += sign * fill.quantity
                expected["USDT"] -= sign * fill.price * fill.quantity
                expected[fill.commission_asset] -= fill.commission
            balances = self.exchange.balances(uid) if self.exchange.has_account(uid) else {}
            assert {asset: sum(balances.get(asset, (D(0),))) for asset in ASSETS} == expected

    @invariant()
    def locked_is_what_open_orders_hold(self) -> None:
        for uid in self.exchange.uids():
            held = {"USDT": D(0), "ABC": D(0)}
            for one in self.exchange.open_orders(uid):
                held["USDT" if one.side is Side.BUY else "ABC"] += one.held
            assert {asset: self.exchange.balances(uid)[asset].locked for asset in held} == held

    @invariant()
    def every_open_order_waits_in_one_place(self) -> None:
        market = self.exchange._market(SYMBOL)
        ladders = [market.rising, market.falling, market.buys, market.sells]
        waiting = len(market.trailing) + sum(len(ladder) for ladder in ladders)
        assert waiting == sum(len(self.exchange.open_orders(uid)) for uid in self.exchange.uids())

    @invariant()
    def orders_are_sound(self) -> None:
        for uid in self.exchange.uids():
            open_ids = [one.client_order_id for one in self.exchange.open_orders(uid)]
            assert len(open_ids) == len(set(open_ids))
            for one in self.exchange.all_orders(uid, SYMBOL):
                fills = self.exchange.fills_of(one.order_id)
                assert one.executed == sum(fill.quantity for fill in fills) <= one.quantity
                assert one.quote_executed == sum(fill.quote for fill in fills)
                assert (one.status is OrderStatus.FILLED) == (one.executed == one.quantity)
                assert one.is_open or one.held == 0

    @invariant()
    def legs_of_a_list_never_both_execute(self) -> None:
        for uid in self.exchange.uids():
            for order_list in self.exchange.all_lists(uid):
                executed = [bool(self.exchange.fills_of(member.order_id)) for member in order_list.members]
                assert sum(executed) <= 1

    def attempt(self, uid: int, new: NewOrder) -> None:
        self.act(lambda: self.exchange.place(uid, new, self.now).events)

    def act(self, verb: Callable[[], tuple[Event, ...]]) -> None:
        self.now += 1
        before = self.whole()
        try:
            events = verb()
        except ExchangeRefusal:
            assert self.whole() == before
            return
        for event in events:
            if isinstance(event, OrderUpdate):
                assert event.execution_id > self.last_execution
                self.last_execution = event.execution_id

    def whole(self) -> list[object]:
        return [
            (uid, self.exchange.balances(uid), self.exchange.all_orders(uid, SYMBOL), self.exchange.all_lists(uid))
            for uid in self.exchange.uids()
        ]

    def open(self) -> Exchange:
        return small_exchange(Path(self.folder.name) / "exchange.db")

    def teardown(self) -> None:
        self.exchange.close()
        self.folder.cleanup()


TestTrading = Trading.TestCase
TestTrading.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@given(quantities, sides, client_ids)
@settings(max_examples=50, deadline=None)
def test_refused_order_for_any_quantity_leaves_no_trace(quantity: Decimal, side: Side, client_id: str | None) -> None:
    exchange = small_exchange()
    exchange.create_account(1)
    with refused(RefusalReason.INSUFFICIENT_BALANCE):
        exchange.place(1, order(f"{side} MARKET {quantity}", client_order_id=client_id), 1)
    assert (exchange.balances(1), exchange.all_orders(1, SYMBOL), exchange.read_log()) == ({}, [], [])
