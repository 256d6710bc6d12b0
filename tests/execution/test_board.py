"""The picture of a fan-out in memory is the one the journal gives."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.journal import ACCOUNT, BTCUSDT, USER, Desk, journal_desk, report_of

from tradewind.core.ids import DecisionId, IntentId, SignalId, SourceId
from tradewind.core.instrument import Environment
from tradewind.core.money import Asset, Money
from tradewind.core.order import Claimed, IntentKind, Leg, Order, OrderState, OrderType, OutcomeLost, Side
from tradewind.execution import record_store
from tradewind.execution.board import FanBoards, read_fans
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import new_order
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.infra.bus import InProcessBus, Subscription

SIGNAL = SignalId("signal-1")


def _decide(desk: Desk, account: str, cell: int, *, reason: str | None = None) -> None:
    row: dict[str, Any] = {
        "id": DecisionId(desk.ids.new()),
        "signal_id": SIGNAL,
        "source_id": "source-1",
        "user_id": USER,
        "account_id": account,
        "mandate_id": None,
        "cell": cell,
        "plan": "PRO",
        "verdict": "place" if reason is None else "skip",
        "reason": reason,
        "confidence_pct": 0,
        "working": [],
        "created_at": desk.clock.now(),
    }
    desk.db.write_now(lambda tx: record_store.insert_decisions(tx, [row]))


def _entry(desk: Desk, generation: int = 0) -> Order:
    intent = Intent(
        id=IntentId(desk.ids.new()),
        kind=IntentKind.SIGNAL,
        user_id=USER,
        account_id=ACCOUNT,
        symbol="BTCUSDT",
        created_at=desk.clock.now(),
        signal_id=SIGNAL,
        source_id=SourceId("source-1"),
        detail={"stop": "48500", "target": "53000"},
        is_done=True,
    )
    order = new_order(
        desk.ids,
        intent,
        BTCUSDT,
        Environment.PAPER,
        desk.clock.now(),
        leg=Leg.ENTRY,
        side=Side.BUY,
        type=OrderType.MARKET,
        spend=Money(Decimal(20), Asset("USDT")),
        generation=generation,
    )
    desk.db.write_now(lambda tx: desk.journal.intend(tx, intent, [order], desk.clock.now()))
    return order


def _sent(desk: Desk, order: Order) -> Order:
    step = (order.id, Claimed(desk.clock.now(), 1_800_000_002_000, 0))
    (move,) = desk.db.write_now(lambda tx: desk.journal.step_all(tx, [step], {OrderState.INTENDED}, desk.clock.now()))
    return move.after


def _announced(boards: FanBoards, *orders: Order) -> None:
    boards.on_moved([Moved(order, order) for order in orders])


async def _agrees(desk: Desk, boards: FanBoards) -> list[tuple[str, str | None]]:
    """Draw, and compare memory with the journal; returns state and reason of each cell."""
    await boards.draw()
    shown = (await boards.snapshot(SIGNAL)).cells
    assert shown == desk.db.read_now(lambda tx: read_fans(tx, [SIGNAL]))[SIGNAL].board.cells
    return [(cell.state, cell.reason) for cell in shown]


def _frames(heard: Subscription) -> list[tuple[int, Any]]:
    found = [(message.payload["rev"], message.payload["cells"]) for message in heard._queue]
    heard._queue.clear()
    return found


async def test_board_when_moved_by_what_is_announced_then_it_is_the_journals_own(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        bus = InProcessBus()
        heard, boards = bus.subscribe("fan"), FanBoards(desk.db, bus, desk.clock)
        _decide(desk, ACCOUNT, 0)
        _decide(desk, "account-2", 1, reason="too_small")
        entry = _entry(desk)
        _announced(boards, entry)
        assert await _agrees(desk, boards) == [("INTENDED", None), ("SKIPPED", "too_small")]
        sent = _sent(desk, entry)
        _announced(boards, sent)
        assert (await _agrees(desk, boards))[0] == ("SENT", None)
        # Announced again late, in the words of before: the newer ones stand.
        _announced(boards, entry)
        assert (await _agrees(desk, boards))[0] == ("SENT", None)
        boards.on_moved(desk.apply(Outcome(sent.id, report_of(OrderState.PARTIALLY_FILLED, "0.0001"))))
        assert (await _agrees(desk, boards))[0] == ("PARTIALLY_FILLED", None)
        assert _frames(heard) == [
            (1, [[0, "INTENDED", None], [1, "SKIPPED", "too_small"]]),
            (2, [[0, "SENT", None]]),
            (3, [[0, "PARTIALLY_FILLED", None]]),
        ]


async def test_board_when_an_account_is_decided_again_then_the_journal_is_asked_and_the_count_goes_on(
    tmp_path: Path,
) -> None:
    with journal_desk(tmp_path) as desk:
        bus = InProcessBus()
        heard, boards = bus.subscribe("fan"), FanBoards(desk.db, bus, desk.clock)
        _decide(desk, ACCOUNT, 0)
        first = _entry(desk)
        _announced(boards, first)
        await _agrees(desk, boards)
        boards.on_moved(desk.apply(Outcome(_sent(desk, first).id, OutcomeLost(desk.clock.now(), "timeout"))))
        _announced(boards, _sent(desk, _entry(desk, generation=1)))
        assert await _agrees(desk, boards) == [("SENT", None)]
        assert [rev for rev, _ in _frames(heard)] == [1, 2]
