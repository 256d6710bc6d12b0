"""Lots, sales and balances on a real database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import text
from tests.support.clock import ManualClock
from tests.support.journal import ACCOUNT, BTCUSDT, USER, Desk, journal_desk

from tradewind.core.ids import SourceId, UserId
from tradewind.core.money import Asset, Price, Quantity
from tradewind.core.protection import PositionState
from tradewind.portfolio.sales import Sales
from tradewind.portfolio.service import Portfolio as Room
from tradewind.portfolio.service import (
    SellScope,
    balances_of,
    balances_of_user,
    lot_view,
    open_lots,
    open_lots_of,
    record_balances,
    set_states,
    total_exposure,
)
from tradewind.venues.base import AssetBalance

USDT = Asset("USDT")


def _put(desk: Desk, free: str, clock: ManualClock, user: UserId = USER) -> None:
    found = [AssetBalance(USDT, Decimal(free), Decimal(0))]
    desk.db.write_now(lambda tx: record_balances(tx, user, ACCOUNT, found, clock.now()))


def test_balance_when_older_news_arrives_late_then_the_newer_stays(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        _put(desk, "100", desk.clock)
        old = ManualClock(desk.clock.now() - timedelta(seconds=5))
        _put(desk, "999", old)
        held = desk.db.read_now(lambda tx: balances_of(tx, [ACCOUNT]))[ACCOUNT][USDT]
        assert held.free == Decimal(100)


def test_balances_and_lots_when_another_user_asks_then_nothing(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        _put(desk, "100", desk.clock)
        desk.bought()
        stranger = UserId("somebody-else")
        assert desk.db.read_now(lambda tx: balances_of_user(tx, stranger, None)) == []
        assert desk.db.read_now(lambda tx: open_lots_of(tx, stranger)) == []
        assert len(desk.db.read_now(lambda tx: open_lots_of(tx, USER))) == 1


def test_lot_when_two_fills_of_one_entry_then_one_lot_with_both(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(desk.filled(sent, "0.0002", "50000", fill_id="f1"))
        desk.apply(desk.filled(sent, "0.0002", "51000", fill_id="f2"))
        (holding,) = desk.held()
        assert holding.lot.quantity == Quantity(Decimal("0.0003996"))
        assert holding.lot.cost_quote == Decimal("20.2")
        assert lot_view(holding)["protection"] == "unprotected"


def test_lots_in_when_scope_names_a_source_then_only_its_lots(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        desk.bought()
        everything = SellScope(ACCOUNT, "BTCUSDT")
        of_other = SellScope(ACCOUNT, "BTCUSDT", source_id=SourceId("other"))
        coins = SellScope(ACCOUNT, "BTCUSDT", touches_lots=False)
        assert len(desk.db.read_now(lambda tx: Room.lots_in(tx, everything))) == 1
        assert desk.db.read_now(lambda tx: Room.lots_in(tx, of_other)) == []
        assert desk.db.read_now(lambda tx: Room.lots_in(tx, coins)) == []


def test_state_when_written_twice_then_changed_once_and_rev_counts(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        now = ManualClock().now()
        wanted = {lot.lot.id: (PositionState.PROTECTED_NATIVE, None)}
        states = [desk.db.write_now(lambda tx: set_states(tx, wanted, now)) for _ in range(2)]
        assert states[0][lot.lot.id].rev == lot.rev + 1
        assert states[1] == {}


def test_exposure_when_states_follow_each_other_then_each_has_its_own_time(tmp_path: Path) -> None:
    """order-protocol.md section 4: the time without protection is measured."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        start = lot.state_since
        steps = [
            (1, PositionState.PROTECTED_WATCHED),
            (3, PositionState.PROTECTED_NATIVE),
            (10, PositionState.UNPROTECTED),
            (12, PositionState.PROTECTED_NATIVE),
        ]
        for seconds, state in steps:
            at = start + timedelta(seconds=seconds)
            desk.db.write_now(lambda tx, state=state, at=at: set_states(tx, {lot.lot.id: (state, None)}, at))  # type: ignore[misc]
        total = desk.db.read_now(lambda tx: total_exposure(tx, start + timedelta(seconds=60)))
        assert (total.lots, total.naked_ms, total.naked_ms_max, total.watched_ms) == (1, 3_000, 3_000, 2_000)


def test_dust_when_nothing_was_sold_then_the_lot_stays_open(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        desk.bought("0.00001")
        scope, price = SellScope(ACCOUNT, "BTCUSDT"), Price(Decimal(50_000))
        closed = desk.db.write_now(
            lambda tx: Sales.read(tx, [ACCOUNT]).close_dust(scope, BTCUSDT, price, desk.clock.now())
        )
        assert closed == []
        assert len(desk.db.read_now(open_lots)) == 1
        kept = desk.db.read_now(lambda tx: tx.execute(text("SELECT is_open FROM lots")).scalar_one())
        assert kept == 1
