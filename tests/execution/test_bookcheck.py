"""The depth check by itself: one call per market and signal, plans first, the draw fair, a slow book unknown."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.support.core_builders import NOW, candidate, money, signal
from tests.support.journal import BTCUSDT

from tradewind.core.decision import Place
from tradewind.core.depth import DepthRules
from tradewind.core.ids import AccountId, IntentId, UserId
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.core.money import Price, Quantity
from tradewind.core.order import IntentKind, Leg, OrderType, Side
from tradewind.core.signal import Signal
from tradewind.core.sizing import Sized
from tradewind.execution.bookcheck import BookCheck
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import DecidedAccount, new_order
from tradewind.venues.base import Depth, DepthLevel

RULES = DepthRules(allowance_orders=4, within_bps=50, slice_pct=25, refuse_pct=100, slice_every=timedelta(seconds=1))
MARKET = (BINANCE, Environment.PAPER, "BTCUSDT")


class _Ids:
    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"id-{self._count}"


class _Books:
    """A venue's book of one level worth 400 USDT; `delay_s` before it answers."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.calls: list[str] = []
        self._delay_s = delay_s

    async def depth(self, _venue: VenueName, _environment: Environment, symbol: str, _limit: int) -> Depth:
        self.calls.append(symbol)
        await asyncio.sleep(self._delay_s)
        level = DepthLevel(Price(Decimal(50_000)), Quantity(Decimal("0.008")))
        return Depth(bids=(), asks=(level,))


def _placed(name: str, spend: str, *, delay_s: int = 0, fresh_s: int = 60) -> DecidedAccount:
    ids = _Ids()
    detail = {"fresh_until": (NOW + timedelta(seconds=fresh_s)).isoformat()}
    intent = Intent(
        IntentId(name), IntentKind.SIGNAL, UserId("u"), AccountId(name), "BTCUSDT", NOW, detail=detail, is_done=True
    )
    order = new_order(
        ids,
        intent,
        BTCUSDT,
        Environment.PAPER,
        NOW,
        leg=Leg.ENTRY,
        side=Side.BUY,
        type=OrderType.MARKET,
        spend=money(f"{spend} USDT"),
        release_at=NOW + timedelta(seconds=delay_s),
    )
    sized = Sized(
        money(f"{spend} USDT"), Quantity(Decimal(1)), Quantity(Decimal(1)), Price(Decimal(1)), Price(Decimal(2)), ()
    )
    place = Place(60, (), sized)
    row: dict[str, Any] = {"verdict": "place", "reason": None, "working": []}
    return DecidedAccount(AccountId(name), row, intent, order, place, replace(candidate(), instrument=BTCUSDT))


def _offsets(decided: list[DecidedAccount]) -> dict[str, float | None]:
    return {
        each.account_id: None if each.order is None else (each.order.release_at - NOW).total_seconds()
        for each in decided
    }


def _signal(name: str = "s") -> Signal:
    return replace(signal(), id=name)  # type: ignore[arg-type]


async def test_look_when_several_accounts_buy_in_one_market_then_one_call() -> None:
    books = _Books()
    check = BookCheck(books, RULES, 1.0)
    seen = await check.look([_placed(f"a{number}", "50") for number in range(5)])
    assert (books.calls, seen) == (["BTCUSDT"], {MARKET: Decimal(400)})


async def test_look_when_all_entries_are_within_the_allowance_then_no_call() -> None:
    books = _Books()
    assert await BookCheck(books, RULES, 1.0).look([_placed("a", "20")]) == {}
    assert await BookCheck(books, None, 1.0).look([_placed("a", "9000")]) == {}
    assert books.calls == []


async def test_look_when_the_book_is_slow_then_unknown_and_nobody_waits_longer() -> None:
    check = BookCheck(_Books(delay_s=5), RULES, 0.01)
    assert await check.look([_placed("a", "100")]) == {MARKET: None}


def test_cut_when_plans_differ_then_the_earlier_plan_keeps_its_place() -> None:
    """product.md E2: release by plan; the slices are filled in that order."""
    check = BookCheck(_Books(), RULES, 1.0)
    decided = [_placed("trial", "100", delay_s=3), _placed("flex", "100", delay_s=1), _placed("pro", "100")]
    cut = check.cut(decided, {MARKET: Decimal(400)}, _signal())
    assert _offsets(cut) == {"trial": 3.0, "flex": 1.0, "pro": 0.0}
    again = check.cut(decided, {MARKET: Decimal(200)}, _signal())
    assert _offsets(again) == {"trial": None, "flex": 1.0, "pro": 0.0}


def test_cut_when_repeated_for_one_signal_then_the_same_and_fair_over_many() -> None:
    """product.md E2: fair inside a plan, nobody is always last."""
    check = BookCheck(_Books(), RULES, 1.0)
    decided = [_placed(f"a{number}", "100") for number in range(4)]
    assert check.cut(decided, {MARKET: Decimal(400)}, _signal()) == check.cut(
        decided, {MARKET: Decimal(400)}, _signal()
    )
    last = Counter(
        max(
            _offsets(check.cut(decided, {MARKET: Decimal(400)}, _signal(f"s{n}"))).items(),
            key=lambda each: each[1] or 0,
        )[0]
        for n in range(200)
    )
    assert len(last) == 4
    assert max(last.values()) < 100


def test_cut_when_a_slice_would_come_after_the_alert_is_stale_then_skipped() -> None:
    """order-protocol.md section 3.3: an entry older than its age is not sent, so it is not promised either."""
    check = BookCheck(_Books(), RULES, 1.0)
    decided = [_placed(f"a{number}", "100", fresh_s=1) for number in range(4)]
    cut = check.cut(decided, {MARKET: Decimal(400)}, _signal())
    assert sorted(each.decision["verdict"] for each in cut) == ["place", "place", "skip", "skip"]
    assert {each.decision["reason"] for each in cut} == {None, "too_large_for_the_book"}
    assert all((each.order is None) == (each.intent is None) for each in cut)


def test_cut_when_the_allowance_covers_all_then_left_alone() -> None:
    check = BookCheck(_Books(), RULES, 1.0)
    decided = [_placed("a", "20")]
    assert check.cut(decided, {}, _signal()) == decided
