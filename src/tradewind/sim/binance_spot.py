"""A Binance spot venue without its wire: exchange, keys, limits, faults, clock, public record, listeners.

One object, one process, one thread. Everything that changes state goes through here, so that an event is
published in the same breath as the change it reports. Venue time is the injected clock plus an offset a
fault may set; the tape is played by the injected clock alone, so a clock fault never moves prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tradewind.sim.binance_sockets import Socket
from tradewind.sim.binance_streams import MarketStreams
from tradewind.sim.binance_user_data import UserStreams
from tradewind.sim.exchange import Exchange
from tradewind.sim.exchange_store import ExchangeStore
from tradewind.sim.exchange_view import ExchangeSettings
from tradewind.sim.faults import Fault, FaultBook, FaultKind
from tradewind.sim.fees import FeeSchedule
from tradewind.sim.keys import KeyRing
from tradewind.sim.limits import LimitSettings, OrderCounter, WeightLimiter
from tradewind.sim.market_board import MarketBoard
from tradewind.sim.pricing import Book, BookModel
from tradewind.sim.request_log import RequestLog
from tradewind.sim.settings import SimSettings
from tradewind.sim.tape import Tape, TapePlayer
from tradewind.sim.tape_files import load_tape
from tradewind.sim.types import Event, Fill, Order, OrderUpdate, Print

TAPE_MARK: Final = "tape"
# Each mark is a disk write; a restart after a crash repeats at most this much of the tape.
_MARK_EVERY_MS: Final = 2000


class BinanceSpot:
    """The venue; build it with `open_spot`."""

    def __init__(
        self,
        settings: SimSettings,
        now_ms: Callable[[], int],
        *,
        exchange: Exchange,
        store: ExchangeStore,
        player: TapePlayer,
        keys: KeyRing,
        book_model: BookModel,
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self._store = store
        self._marked_ms = now_ms()
        self.player = player
        self.keys = keys
        self.book_model = book_model
        self.clock_offset_ms = 0
        self._now_ms = now_ms
        self.limits = LimitSettings(
            weight_per_minute=settings.weight_per_minute,
            orders_per_10s=settings.orders_per_10s,
            orders_per_day=settings.orders_per_day,
            ban_s=settings.ban_s,
        )
        self.weight = WeightLimiter(self.limits)
        self.orders = OrderCounter(self.limits)
        self.faults = FaultBook(settings.seed, settings.processing_timeout_ms)
        if settings.storm:
            self.faults.add(Fault(self.faults.next_id(), FaultKind.STORM, probability=settings.storm))
        self.requests = RequestLog(settings.requests_logged)
        prices = {symbol: exchange.last_price(symbol) for symbol in exchange.symbols()}
        self.board = MarketBoard(prices, now_ms())
        self.users = UserStreams(self.faults)
        self.streams = MarketStreams(self.board, self.book)
        # Open connections of either kind, for faults that close them.
        self.api_sockets: set[Socket] = set()
        self.market_sockets: set[Socket] = set()

    def now_ms(self) -> int:
        """Give venue time."""
        return self._now_ms() + self.clock_offset_ms

    def tape_ms(self) -> int:
        """Give the time the tape is played by, which no fault shifts."""
        return self._now_ms()

    def book(self, symbol: str, levels: int) -> Book:
        """Give the modelled book."""
        return self.exchange.book(symbol, levels)

    def publish(self, events: Iterable[Event]) -> None:
        """Send events to the accounts' listeners."""
        self.users.publish(events)

    def play(self) -> int:
        """Carry out every print that has become due and give their number."""
        prints = self.player.advance(self.tape_ms())
        if prints:
            self._on_prints([replace_time(tick, self.clock_offset_ms) for tick in prints])
        self.streams.flush(self.now_ms())
        if prints and self.tape_ms() - self._marked_ms >= _MARK_EVERY_MS:
            self._mark_tape()
        return len(prints)

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Force one trade of the least quantity at a price (rehearsals); the tape may overrule it later."""
        now = self.now_ms()
        quantity = self.exchange.rules(symbol).step
        self._on_prints([Print(now, symbol, self.exchange.rules(symbol).floor_price(price), quantity, 0)])
        self.streams.flush(now)

    def count_fills(self, order: Order, fills: tuple[Fill, ...]) -> None:
        """Give back unfilled-order count for an order that has filled for the first time."""
        if fills:
            self.orders.first_fill(order.uid, is_maker=fills[0].is_maker, now_ms=self.now_ms())

    def is_hidden(self, order: Order, now_ms: int) -> bool:
        """Tell whether a query must not see this order yet (a lagging read side)."""
        hidden_ms = self.faults.hidden_for_ms(order.uid, order.symbol, order.client_order_id)
        return hidden_ms > 0 and now_ms < order.created_ms + hidden_ms

    def is_listed(self, symbol: str) -> bool:
        """Tell whether the venue offers a symbol."""
        return self.board.find(symbol) is not None

    def limit_next_fill(self, uid: int, fraction: float) -> None:
        """Let the account's next order fill only in part (fault `partial_fill`)."""
        self.exchange.limit_fills(Decimal(str(fraction)), uid=uid, orders=1)

    def algo_slots(self, uid: int, symbol: str) -> int | None:
        """Give the number of stop orders a fault leaves the account on one symbol; None without one."""
        fault = self.faults.standing(FaultKind.ORDER_SLOTS, uid, symbol)
        return None if fault is None else int(fault.value or 0)

    def close(self) -> None:
        """Release files and held-back events."""
        self.users.close()
        self._mark_tape()
        self.exchange.close()
        self.keys.close()

    def _mark_tape(self) -> None:
        """Write down where the tape stands."""
        self._marked_ms = self.tape_ms()
        self._store.set_mark(TAPE_MARK, f"{self.player.tape.name}@{self.player.position_ms}")

    def _on_prints(self, prints: list[Print]) -> None:
        now = self.now_ms()
        events = self.exchange.on_prints(prints, now)
        self._count_resting_fills(events, now)
        self.publish(events)
        self.streams.on_trades(self.board.record(prints), now)

    def _count_resting_fills(self, events: Iterable[Event], now_ms: int) -> None:
        for event in events:
            if not isinstance(event, OrderUpdate) or event.fill is None:
                continue
            fill = event.fill
            if event.order.executed == fill.quantity:
                self.orders.first_fill(fill.uid, is_maker=fill.is_maker, now_ms=now_ms)


def replace_time(tick: Print, offset_ms: int) -> Print:
    """Shift a print from tape time to venue time."""
    return tick._replace(at_ms=tick.at_ms + offset_ms) if offset_ms else tick


def open_spot(settings: SimSettings, now_ms: Callable[[], int]) -> BinanceSpot:
    """Load the tape, open the durable files and put the venue together.

    A store that already knows where this tape stood goes on from there, so that a restart moves no price;
    `tape_offset_s` counts for a fresh one. Raises TapeError for an unknown tape and StoreBusy when another
    process holds the store.
    """
    tape = load_tape(settings.tape)
    store = ExchangeStore.in_memory() if settings.store is None else ExchangeStore(settings.store)
    try:
        return _put_together(settings, now_ms, tape, store)
    except BaseException:
        store.close()
        raise


def _put_together(settings: SimSettings, now_ms: Callable[[], int], tape: Tape, store: ExchangeStore) -> BinanceSpot:
    offset_s = _resume_s(store.mark(TAPE_MARK), tape, settings)
    started_ms = now_ms()
    player = TapePlayer(tape, settings.speed, started_ms, offset_s=offset_s, loop=settings.loop_tape)
    if settings.paused:
        player.pause(started_ms)
    model = BookModel()
    exchange = Exchange(
        tape.rules(),
        player.first_prices(),
        book_model=model,
        settings=ExchangeSettings(
            fees=replace(FeeSchedule(), maker_bps=settings.maker_bps, taker_bps=settings.taker_bps)
        ),
        store=store,
    )
    keys = KeyRing(settings.key_file)
    return BinanceSpot(settings, now_ms, exchange=exchange, store=store, player=player, keys=keys, book_model=model)


def _resume_s(mark: str | None, tape: Tape, settings: SimSettings) -> Decimal:
    name, _, position_ms = (mark or "").rpartition("@")
    if name != tape.name:
        return settings.tape_offset_s
    return Decimal(min(int(position_ms), tape.duration_ms)) / 1000
