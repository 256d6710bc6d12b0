"""The reading side of the simulated exchange: accounts, orders, fills and market data as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tradewind.sim.exchange_state import Account, State
from tradewind.sim.exchange_store import ExchangeStore, LogEntry, LoggedEntry
from tradewind.sim.execution import Execution
from tradewind.sim.fees import FeeSchedule
from tradewind.sim.instruments import SymbolRules
from tradewind.sim.market import Market
from tradewind.sim.pricing import Book, BookModel
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    AccountSettings,
    AssetBalance,
    Fill,
    Order,
    OrderList,
    SymbolStatus,
)


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Choices of the simulated exchange.

    `finds_original_id_after_cancel`: the venue does not say whether a cancelled order still answers to its first id.
    """

    fees: FeeSchedule = field(default_factory=FeeSchedule)
    finds_original_id_after_cancel: bool = True


class ExchangeView:
    """State, markets and every question about them; changes nothing."""

    def __init__(
        self,
        rules: Mapping[str, SymbolRules],
        first_prices: Mapping[str, Decimal],
        *,
        book_model: BookModel | None = None,
        settings: ExchangeSettings | None = None,
        store: ExchangeStore | None = None,
    ) -> None:
        self._settings = settings or ExchangeSettings()
        self._model = book_model or BookModel()
        self._store = store or ExchangeStore.in_memory()
        self._state = State.load(self._store)
        self._markets = {symbol: Market(one, first_prices[symbol], self._model) for symbol, one in rules.items()}
        self._execution = Execution(self._markets, self._settings.fees)
        for account in self._state.accounts.values():
            for order_id in account.open_orders:
                order = self._state.orders[order_id]
                if order.symbol in self._markets:
                    self._markets[order.symbol].wait(order)

    @property
    def fees(self) -> FeeSchedule:
        return self._settings.fees

    @property
    def book_model(self) -> BookModel:
        return self._model

    def has_account(self, uid: int) -> bool:
        """Say whether the account exists."""
        return uid in self._state.accounts

    def uids(self) -> tuple[int, ...]:
        """List all accounts, in the order they were opened."""
        return tuple(self._state.accounts)

    def account_settings(self, uid: int) -> AccountSettings:
        """Return the account's flags and rates. Raises ExchangeRefusal UNKNOWN_ACCOUNT, as all of these do."""
        return self._account(uid).settings

    def account_updated_ms(self, uid: int) -> int:
        """When a balance last changed; 0 for an account that never had one."""
        return self._account(uid).updated_ms

    def balances(self, uid: int) -> dict[str, AssetBalance]:
        """Free and locked of every asset the account ever held."""
        return self._account(uid).wallet.balances()

    def commission_bps(self, uid: int, *, is_maker: bool) -> Decimal:
        """The account's rate before any BNB discount, in basis points."""
        settings = self._account(uid).settings
        own = settings.maker_bps if is_maker else settings.taker_bps
        if own is not None:
            return own
        return self.fees.maker_bps if is_maker else self.fees.taker_bps

    def find_order(
        self, uid: int, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        """An order by the exchange's id or by client id (the newest that bears it), or None.

        With both, the order is found by its id and the client id must match. Raises ExchangeRefusal QUERY_MISMATCH.
        """
        if order_id is not None:
            order = self._state.orders.get(order_id)
            if order is None or (order.uid, order.symbol) != (uid, symbol):
                return None
            known = (order.client_order_id, order.orig_client_order_id)
            if client_order_id is not None and client_order_id not in known:
                raise ExchangeRefusal(RefusalReason.QUERY_MISMATCH)
            return order
        if client_order_id is None:
            return None
        found = self._state.newest_by_client_id.get((uid, symbol, client_order_id))
        if found is None:
            return None
        order = self._state.orders[found]
        is_original = order.client_order_id != client_order_id
        return None if is_original and not self._settings.finds_original_id_after_cancel else order

    def open_orders(self, uid: int, symbol: str | None = None) -> list[Order]:
        """Open orders, oldest first; of one symbol or of all."""
        orders = (self._state.orders[order_id] for order_id in self._account(uid).open_orders)
        return [order for order in orders if symbol is None or order.symbol == symbol]

    def all_orders(self, uid: int, symbol: str) -> list[Order]:
        """Every order ever placed, oldest first."""
        return [self._state.orders[order_id] for order_id in self._state.orders_by_symbol.get((uid, symbol), ())]

    def my_trades(self, uid: int, symbol: str) -> list[Fill]:
        """Every fill, oldest first."""
        return list(self._state.fills_by_symbol.get((uid, symbol), ()))

    def fills_of(self, order_id: int) -> tuple[Fill, ...]:
        """Return an order's fills, oldest first."""
        return tuple(self._state.fills_by_order.get(order_id, ()))

    def find_list(
        self, uid: int, *, order_list_id: int | None = None, list_client_order_id: str | None = None
    ) -> OrderList | None:
        """An order list by its id, or the newest by its client id, or None."""
        for known in reversed(self.all_lists(uid)):
            if (
                known.order_list_id == order_list_id
                if order_list_id is not None
                else (known.list_client_order_id == list_client_order_id)
            ):
                return known
        return None

    def open_lists(self, uid: int) -> list[OrderList]:
        """Lists with an open member, oldest first."""
        ids = {self._state.orders[order_id].order_list_id for order_id in self._account(uid).open_orders}
        return [self._state.lists[list_id] for list_id in sorted(ids) if list_id in self._state.lists]

    def all_lists(self, uid: int) -> list[OrderList]:
        """Return every order list ever placed, oldest first."""
        return [self._state.lists[list_id] for list_id in self._state.lists_by_account.get(uid, ())]

    def symbols(self) -> tuple[str, ...]:
        """List the symbols that are traded here."""
        return tuple(self._markets)

    def rules(self, symbol: str) -> SymbolRules:
        """The symbol's filters. Raises ExchangeRefusal INVALID_SYMBOL."""
        return self._market(symbol).rules

    def last_price(self, symbol: str) -> Decimal:
        """Return the price of the last print (or the first price). Raises ExchangeRefusal INVALID_SYMBOL."""
        return self._market(symbol).last_price

    def average_price(self, symbol: str, now_ms: int) -> Decimal:
        """Volume-weighted price of the last minutes (`SymbolRules.avg_price_mins`), else the last price."""
        return self._market(symbol).average_price(now_ms)

    def book(self, symbol: str, levels: int | None = None) -> Book:
        """The modelled book around the last price."""
        market = self._market(symbol)
        return self._model.book(market.rules, market.last_price, levels)

    def symbol_status(self, symbol: str) -> SymbolStatus:
        """Return whether the symbol trades. Raises ExchangeRefusal INVALID_SYMBOL."""
        return self._market(symbol).status

    def read_log(self, after_seq: int = 0, limit: int = 1000, *, uid: int | None = None) -> list[LoggedEntry]:
        """The referee's log: every order, execution and transfer, oldest first."""
        return self._store.read_log(after_seq, limit, uid=uid)

    def append_log(self, *entries: LogEntry) -> None:
        """Add facts of the layer above (a request as it came in) durably."""
        self._store.append_log(entries)

    def _account(self, uid: int) -> Account:
        account = self._state.accounts.get(uid)
        if account is None:
            raise ExchangeRefusal(RefusalReason.UNKNOWN_ACCOUNT)
        return account

    def _market(self, symbol: str) -> Market:
        market = self._markets.get(symbol)
        if market is None:
            raise ExchangeRefusal(RefusalReason.INVALID_SYMBOL)
        return market
