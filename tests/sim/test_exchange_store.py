"""The file: the same exchange after reopening, after kill -9, and for one process at a time."""

import os
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.exchange import SYMBOL, UID, funded, oco, order, small_exchange, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.exchange_store import ExchangeStore, LogEntry, StoreBusy
from tradewind.sim.types import AccountSettings

D = Decimal


def picture(exchange: Exchange) -> dict[str, Any]:
    """Everything an account can ask about."""
    return {
        "settings": exchange.account_settings(UID),
        "updated": exchange.account_updated_ms(UID),
        "balances": exchange.balances(UID),
        "open": exchange.open_orders(UID),
        "orders": [exchange.all_orders(UID, symbol) for symbol in exchange.symbols()],
        "trades": [exchange.my_trades(UID, symbol) for symbol in exchange.symbols()],
        "lists": exchange.all_lists(UID),
        "by id": {name: exchange.find_order(UID, SYMBOL, client_order_id=name) for name in "abcdef"},
    }


def busy(path: Path) -> Exchange:
    """An exchange in which a bit of everything has happened."""
    exchange = funded(path)
    exchange.configure_account(UID, AccountSettings(taker_bps=D("7.5")))
    exchange.place(UID, order("BUY MARKET 150", client_order_id="a", strategy_id=3, strategy_type=1_000_000), 10)
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 20)
    exchange.place(UID, order("BUY LIMIT 4 @ 96", client_order_id="b"), 30)
    exchange.cancel(UID, SYMBOL, 40, client_order_id="b", new_client_order_id="c")
    exchange.place(UID, order("BUY LIMIT 4 @ 96", client_order_id="d"), 50)
    exchange.amend(UID, SYMBOL, 60, client_order_id="d", new_quantity=D(2), new_client_order_id="e")
    exchange.place(UID, order("SELL STOP_LOSS 1", client_order_id="f", trailing_delta=500), 70)
    exchange.place_oco(UID, oco(quantity="2", list_client_order_id="l"), 80)
    exchange.place_oco(UID, oco(quantity="3", above="103"), 90)
    exchange.on_prints([tick("104.5"), tick("102")], 100)
    return exchange


def test_exchange_when_reopened_answers_as_before(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    before = busy(path)
    known = picture(before)
    before.close()
    after = small_exchange(path)
    assert picture(after) == known
    assert [one.order_status for one in after.all_lists(UID)] == ["EXECUTING", "ALL_DONE"]


def test_exchange_when_reopened_goes_on_with_waiting_orders_and_growing_ids(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    before = busy(path)
    last_order = before.all_orders(UID, SYMBOL)[-1].order_id
    last_trade = before.my_trades(UID, SYMBOL)[-1].trade_id
    before.close()
    after = small_exchange(path)
    # the trailing stop saw 104.50: 5 % below is 99.275; the first list's stop waits at 95
    assert told(after.on_print(tick("99"), 110)) == ["NEW NEW", "TRADE FILLED", "BalanceChange"]
    events = after.on_print(tick("94"), 120)
    assert told(events).count("LIST ALL_DONE") == 1
    assert told(events).count("TRADE FILLED") == 3
    placed = after.place(UID, order("BUY MARKET 1"), 130)
    assert placed.order.order_id > last_order
    assert placed.fills[0].trade_id > last_trade
    assert after.open_orders(UID) == []


def test_second_process_when_file_is_in_use_is_refused_and_may_open_it_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    first = ExchangeStore(path)
    with pytest.raises(StoreBusy, match="already running in another process"):
        ExchangeStore(path)
    first.close()
    first.close()
    ExchangeStore(path).close()


def test_store_when_file_is_no_database_frees_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    path.write_bytes(b"this is no database, but long enough to be looked at" * 10)
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError):
            ExchangeStore(path)


_BUYER = """
import sys
from decimal import Decimal
from pathlib import Path
from tests.support.exchange import UID, funded, order
exchange = funded(Path(sys.argv[1]), USDT="1000000")
for number in range(100_000):
    placed = exchange.place(UID, order("BUY MARKET 0.1", client_order_id=f"n{number}"), number)
    print(placed.order.order_id, flush=True)
"""


def test_exchange_when_killed_between_orders_has_every_answered_one(tmp_path: Path) -> None:
    path, root = tmp_path / "exchange.db", Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _BUYER, str(path)], stdout=subprocess.PIPE, cwd=root, text=True
    ) as buyer:
        assert buyer.stdout is not None
        answered = [int(buyer.stdout.readline()) for _ in range(40)]
        os.kill(buyer.pid, signal.SIGKILL)
        answered += [int(line) for line in buyer.stdout.read().split()]
    exchange = small_exchange(path)
    orders = exchange.all_orders(UID, SYMBOL)
    # what was answered is there; at most the one under way when the signal came is there beyond it
    assert [one.order_id for one in orders][: len(answered)] == answered
    assert len(orders) - len(answered) <= 1
    fills = exchange.my_trades(UID, SYMBOL)
    assert [fill.order_id for fill in fills] == [one.order_id for one in orders]
    assert exchange.balances(UID)["USDT"].free == D(1_000_000) - sum(fill.quote for fill in fills)
    assert exchange.place(UID, order("BUY MARKET 0.1"), 1).order.order_id > orders[-1].order_id


def test_log_when_read_names_every_order_execution_and_transfer(tmp_path: Path) -> None:
    exchange = funded(tmp_path / "exchange.db")
    placed = exchange.place(UID, order("BUY MARKET 150", client_order_id="a"), 10)
    entries = [logged.entry for logged in exchange.read_log()]
    assert [entry.kind for entry in entries] == ["TRANSFER", "TRANSFER", "NEW", "TRADE", "TRADE"]
    assert entries[0] == LogEntry(1, "TRANSFER", UID, detail="100000 USDT")
    assert entries[3] == LogEntry(
        10, "TRADE", UID, SYMBOL, placed.order.order_id, "a", placed.fills[0].trade_id, "100.000 @ 101.00"
    )


def test_log_when_cancelled_keeps_the_clients_own_id(tmp_path: Path) -> None:
    exchange = funded(tmp_path / "exchange.db")
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    exchange.cancel(UID, SYMBOL, 20, client_order_id="a", new_client_order_id="c")
    assert [logged.entry.client_order_id for logged in exchange.read_log()[2:]] == ["a", "a"]


def test_log_when_paged_and_added_to_by_others_stays_in_order(tmp_path: Path) -> None:
    exchange = funded(tmp_path / "exchange.db")
    exchange.append_log(LogEntry(5, "REQUEST", UID, detail="POST /api/v3/order"), LogEntry(6, "REQUEST", 99))
    first, rest = exchange.read_log(0, 2), exchange.read_log(2)
    assert [logged.seq for logged in first + rest] == [1, 2, 3, 4]
    assert [logged.entry.kind for logged in rest] == ["REQUEST", "REQUEST"]
    assert [logged.entry.uid for logged in exchange.read_log(uid=99)] == [99]
    exchange.close()
    assert len(small_exchange(tmp_path / "exchange.db").read_log()) == 4


def test_marks_when_set_outlive_the_process(tmp_path: Path) -> None:
    store = ExchangeStore(tmp_path / "exchange.db")
    assert store.mark("tape") is None
    store.set_mark("tape", "12000")
    store.set_mark("tape", "15000")
    store.close()
    again = ExchangeStore(tmp_path / "exchange.db")
    assert again.mark("tape") == "15000"
    again.close()


def test_exchange_when_its_file_cannot_be_written_goes_no_further(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    exchange = funded(path)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER no_more BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.close()
    with pytest.raises(sqlite3.DatabaseError, match="disk full"):
        exchange.place(UID, order("BUY MARKET 1"), 10)
    with pytest.raises(RuntimeError, match="restart it"):
        exchange.deposit(UID, "USDT", D(1), 20)
    # nothing of the failed change is left half done in the file
    exchange.append_log(LogEntry(30, "STOPPED"))
    exchange.close()
    again = small_exchange(path)
    assert again.balances(UID)["USDT"].free == D(100_000)
    assert again.all_orders(UID, SYMBOL) == []
