"""What the exchange knows, and one call's changes to it.

Rules:
- `State` is everything by id with the indexes that queries need; rebuilt from the store it gives the same answers.
- Every change goes through a `Turn`: it changes the state, collects the events in the order they happened, and at the
  end writes all in ONE transaction before the call returns. A refusal must come before the first change of a turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from tradewind.sim.exchange_store import Changes, ExchangeStore, Ids, LogEntry
from tradewind.sim.types import (
    AccountSettings,
    BalanceChange,
    Event,
    ExecutionType,
    Fill,
    ListUpdate,
    Order,
    OrderList,
    OrderUpdate,
    Transfer,
)
from tradewind.sim.wallet import Wallet

OrderKey = tuple[int, str, str]


@dataclass(slots=True)
class Account:
    uid: int
    settings: AccountSettings
    updated_ms: int = 0
    wallet: Wallet = field(default_factory=Wallet)
    open_orders: dict[int, None] = field(default_factory=dict)


class State:
    """Accounts, orders, fills and lists of the whole exchange."""

    def __init__(self) -> None:
        self.ids = Ids()
        # True while memory holds changes that the file does not; after a failure in between nothing may go on
        self.is_ahead = False
        self.accounts: dict[int, Account] = {}
        self.orders: dict[int, Order] = {}
        self.lists: dict[int, OrderList] = {}
        self.fills_by_order: dict[int, list[Fill]] = {}
        self.orders_by_symbol: dict[tuple[int, str], list[int]] = {}
        self.fills_by_symbol: dict[tuple[int, str], list[Fill]] = {}
        self.lists_by_account: dict[int, list[int]] = {}
        # Client ids must differ among OPEN orders of one account and symbol only; a closed order's id is free again.
        self.open_client_ids: dict[OrderKey, int] = {}
        self.newest_by_client_id: dict[OrderKey, int] = {}

    @classmethod
    def load(cls, store: ExchangeStore) -> State:
        """Rebuild the state from what was stored."""
        stored, state = store.load(), cls()
        state.ids = stored.ids
        for uid, (settings, updated_ms) in stored.accounts.items():
            state.accounts[uid] = Account(uid, settings, updated_ms)
        for (uid, asset), balance in stored.balances.items():
            state.accounts[uid].wallet.restore(asset, balance)
        for order in stored.orders:
            state.put_order(order)
        for fill in stored.fills:
            state.put_fill(fill)
        for order_list in stored.lists:
            state.put_list(order_list)
        return state

    def put_order(self, order: Order) -> None:
        """Store an order's newest form and keep the indexes true."""
        order_id, account = order.order_id, self.accounts[order.uid]
        first_id = order.orig_client_order_id or order.client_order_id
        first_key = (order.uid, order.symbol, first_id)
        known = self.orders.get(order_id)
        if known is None:
            self.orders_by_symbol.setdefault((order.uid, order.symbol), []).append(order_id)
            self.newest_by_client_id[first_key] = order_id
        self.orders[order_id] = order
        if known is not None and known.is_open and first_id != known.client_order_id:
            self._rename(known, first_key)
        if order.is_open:
            account.open_orders[order_id] = None
            self.open_client_ids[first_key] = order_id
            return
        account.open_orders.pop(order_id, None)
        if self.open_client_ids.get(first_key) == order_id:
            del self.open_client_ids[first_key]
        if order.client_order_id != first_id:
            key = (order.uid, order.symbol, order.client_order_id)
            self.newest_by_client_id[key] = max(order_id, self.newest_by_client_id.get(key, 0))

    def _rename(self, known: Order, new_key: OrderKey) -> None:
        """An amended order bears a new client id; its old one is free and means the newest other order that bore it."""
        uid, symbol, _ = new_key
        old_key = (uid, symbol, known.client_order_id)
        self.open_client_ids.pop(old_key, None)
        self.newest_by_client_id[new_key] = known.order_id
        others = (self.orders[i] for i in reversed(self.orders_by_symbol[uid, symbol]) if i != known.order_id)
        ids = (o.order_id for o in others if known.client_order_id in (o.client_order_id, o.orig_client_order_id))
        newest = next(ids, None)
        if newest is None:
            self.newest_by_client_id.pop(old_key, None)
        else:
            self.newest_by_client_id[old_key] = newest

    def put_fill(self, fill: Fill) -> None:
        """Keep a fill and index it."""
        self.fills_by_order.setdefault(fill.order_id, []).append(fill)
        self.fills_by_symbol.setdefault((fill.uid, fill.symbol), []).append(fill)

    def put_list(self, order_list: OrderList) -> None:
        """Store a list's newest form and index it."""
        if order_list.order_list_id not in self.lists:
            self.lists_by_account.setdefault(order_list.uid, []).append(order_list.order_list_id)
        self.lists[order_list.order_list_id] = order_list


class Turn:
    """One call: its time, its events, its changes."""

    def __init__(self, state: State, store: ExchangeStore, now_ms: int) -> None:
        if state.is_ahead:
            raise RuntimeError("the exchange did not finish writing its last change; restart it from its file")
        self.state = state
        self.now_ms = now_ms
        self.events: list[Event] = []
        self.fills: list[Fill] = []
        self._store = store
        self._changes = Changes(state.ids)
        self._touched: dict[int, dict[str, None]] = {}

    def next_order_id(self) -> int:
        """Use up the next order id."""
        self.state.ids = self.state.ids._replace(order=self.state.ids.order + 1)
        return self.state.ids.order

    def next_trade_id(self) -> int:
        """Use up the next trade id."""
        self.state.ids = self.state.ids._replace(trade=self.state.ids.trade + 1)
        return self.state.ids.trade

    def next_list_id(self) -> int:
        """Use up the next order list id."""
        self.state.ids = self.state.ids._replace(order_list=self.state.ids.order_list + 1)
        return self.state.ids.order_list

    def next_execution_id(self) -> int:
        """Use up the next execution id."""
        self.state.ids = self.state.ids._replace(execution=self.state.ids.execution + 1)
        return self.state.ids.execution

    def put_account(self, account: Account) -> None:
        """Store an account's settings and time of last change."""
        self.state.is_ahead = True
        self.state.accounts[account.uid] = account
        self._changes.accounts[account.uid] = (account.settings, account.updated_ms)

    def put_order(self, order: Order) -> None:
        """Store an order's newest form."""
        self.state.is_ahead = True
        self.state.put_order(order)
        self._changes.orders[order.order_id] = order

    def put_fill(self, fill: Fill) -> None:
        """Keep a fill."""
        self.state.put_fill(fill)
        self.fills.append(fill)
        self._changes.fills.append(fill)

    def put_list(self, order_list: OrderList) -> None:
        """Store a list's newest form and report it."""
        self.state.put_list(order_list)
        self._changes.lists[order_list.order_list_id] = order_list
        self.events.append(ListUpdate(self.now_ms, order_list))

    def touch(self, uid: int, *assets: str) -> None:
        """Remember that these balances may have changed."""
        self.state.is_ahead = True
        self._touched.setdefault(uid, {}).update(dict.fromkeys(assets))

    def report(self, kind: ExecutionType, order: Order, fill: Fill | None = None) -> None:
        """Report what happened to an order, with the next execution id."""
        self.events.append(OrderUpdate(self.next_execution_id(), self.now_ms, kind, order, fill))
        detail = "" if fill is None else f"{fill.quantity} @ {fill.price}"
        first_id = order.orig_client_order_id or order.client_order_id
        trade_id = -1 if fill is None else fill.trade_id
        self.log(LogEntry(self.now_ms, kind, order.uid, order.symbol, order.order_id, first_id, trade_id, detail))

    def report_transfer(self, uid: int, asset: str, delta: Decimal) -> None:
        """Report money that came in (delta > 0) or went out."""
        self.events.append(Transfer(uid, self.now_ms, asset, delta))
        self.log(LogEntry(self.now_ms, "TRANSFER", uid, detail=f"{delta} {asset}"))

    def log(self, entry: LogEntry) -> None:
        """Add a fact to the referee's log."""
        self._changes.log.append(entry)

    def settle(self) -> None:
        """Report the balances touched since the last settling, one event per account."""
        for uid, assets in self._touched.items():
            account = self.state.accounts[uid]
            account.updated_ms = self.now_ms
            after = tuple((asset, account.wallet[asset]) for asset in assets)
            self.events.append(BalanceChange(uid, self.now_ms, after))
            self.put_account(account)
            self._changes.balances.update({(uid, asset): balance for asset, balance in after})
        self._touched.clear()

    def finish(self) -> tuple[Event, ...]:
        """Settle, write everything durably, and hand out the events."""
        self.settle()
        if not self._changes.is_empty:
            self._changes.ids = self.state.ids
            self._store.write(self._changes)
        self.state.is_ahead = False
        return tuple(self.events)
