"""A small run of the demo as its two sides would tell it: everything agrees until a test breaks something.

Account 1 was filled and holds a lot under a resting OCO. Account 2's connection was cut: generation 0 never
arrived, generation 1 was filled; its second lot was sold by the close. Account 3 was skipped. Exchange user 900
had a key that was refused.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tradewind.core.ids import AccountId, IntentId, client_order_id
from tradewind.demo.facts import (
    Expected,
    Journal,
    JournalDecision,
    JournalFill,
    JournalLot,
    JournalOrder,
    JournalSignal,
    Venue,
    VenueFill,
    VenueOrder,
    VenueRequest,
)

OPEN, SECOND, CLOSE = "open-vvv", "open-btc", "close-btc"
UIDS = {"acc1": 101, "acc2": 102, "acc3": 103}
REFUSED_UID = 900
LIST_ID = "twlist"


def d(text: str) -> Decimal:
    """A decimal, briefly."""
    return Decimal(text)


def order(
    account: str, intent: str, leg: str, state: str, *, generation: int = 0, venue_id: str | None = None, **rest: Any
) -> JournalOrder:
    """An order of the journal with the id that follows from it."""
    values: dict[str, Any] = {
        "id": f"{intent}-{leg}-{generation}",
        "intent_id": intent,
        "intent_kind": "signal",
        "account_id": account,
        "symbol": "VVVUSDT",
        "leg": leg,
        "side": "buy" if leg == "entry" else "sell",
        "generation": generation,
        "client_order_id": client_order_id(IntentId(intent), AccountId(account), leg, generation),
        "state": state,
        "venue_order_id": venue_id,
        "claimed_ms": (1_000 + 100 * generation,),
        **rest,
    }
    return JournalOrder(**values)


def bought(signal: str, quantity: str = "10", quote: str = "170") -> dict[str, Any]:
    """The figures of a filled entry."""
    return {"signal_id": signal, "executed": d(quantity), "executed_quote": d(quote)}


def journal() -> Journal:
    """The platform's side."""
    protection: dict[str, Any] = {"intent_kind": "protection", "lot_id": "lot1", "list_client_id": LIST_ID}
    btc: dict[str, Any] = {"symbol": "BTCUSDT"}
    orders = (
        order("acc1", "i1", "entry", "FILLED", venue_id="1", release_ms=900, acknowledged_ms=1_010, **bought(OPEN)),
        order("acc1", "p1", "stop", "ACCEPTED", venue_id="2", **protection),
        order("acc1", "p1", "target", "ACCEPTED", venue_id="3", **protection),
        order("acc2", "i2", "entry", "NEVER_ARRIVED", signal_id=OPEN, was_in_doubt=True, release_ms=900),
        order("acc2", "i2", "entry", "FILLED", generation=1, venue_id="4", acknowledged_ms=15_900, **bought(OPEN)),
        order("acc2", "i3", "entry", "FILLED", venue_id="5", **btc, **bought(SECOND, "1", "80000")),
        order("acc2", "i4", "exit", "FILLED", venue_id="6", **btc, **bought(CLOSE, "0.9", "72000")),
    )
    return Journal(
        accounts=dict(UIDS),
        mandates=[("desk", account) for account in UIDS],
        signals=[
            JournalSignal(id=OPEN, source_id="desk", action="open", base="VVV", state="done"),
            JournalSignal(id=SECOND, source_id="desk", action="open", base="BTC", state="done"),
            JournalSignal(id=CLOSE, source_id="desk", action="close", base="BTC", state="done"),
        ],
        decisions=[
            decision(OPEN, "acc1"),
            decision(OPEN, "acc2"),
            decision(OPEN, "acc3", "paused"),
            decision(SECOND, "acc1", "too_small"),
            decision(SECOND, "acc2"),
            decision(SECOND, "acc3", "paused"),
            decision(CLOSE, "acc2"),
        ],
        orders=orders,
        fills=[
            fill("acc1", "1", "f1", "10", "17"),
            fill("acc2", "4", "f2", "10", "17"),
            fill("acc2", "5", "f3", "1", "80000", symbol="BTCUSDT"),
            fill("acc2", "6", "f4", "0.9", "80000", symbol="BTCUSDT"),
        ],
        lots=[
            lot("lot1", "acc1", "10", "protected_native"),
            lot("lot2", "acc2", "10", "protected_watched"),
            replace(lot("lot3", "acc2", "0.1", "closed"), symbol="BTCUSDT", base="BTC", is_open=False),
        ],
    )


def decision(signal: str, account: str, reason: str | None = None) -> JournalDecision:
    """A decision: skipped with a reason, placed without."""
    verdict = "place" if reason is None else "skip"
    return JournalDecision(signal_id=signal, account_id=account, verdict=verdict, reason=reason, plan="PRO")


def fill(account: str, venue_id: str, fill_id: str, quantity: str, price: str, symbol: str = "VVVUSDT") -> JournalFill:
    """A booked fill."""
    return JournalFill(
        account_id=account,
        symbol=symbol,
        venue_order_id=venue_id,
        fill_id=fill_id,
        order_id=f"order-{venue_id}",
        quantity=d(quantity),
        price=d(price),
    )


def lot(lot_id: str, account: str, quantity: str, state: str) -> JournalLot:
    """An open lot of VVV."""
    return JournalLot(
        id=lot_id,
        account_id=account,
        symbol="VVVUSDT",
        base="VVV",
        source_id="desk",
        signal_id=OPEN,
        entry_order_id="entry",
        quantity=d(quantity),
        is_open=True,
        state=state,
    )


def venue() -> Venue:
    """The exchange's side of the same run."""
    ours = {each.venue_order_id: each for each in journal().orders if each.venue_order_id is not None}
    orders = [
        VenueOrder(
            uid=UIDS[each.account_id],
            symbol=each.symbol,
            order_id=order_id,
            client_order_id=each.client_order_id,
            side=each.side.upper(),
            type="MARKET",
            status="NEW" if each.state == "ACCEPTED" else each.state,
            executed=each.executed,
            executed_quote=each.executed_quote,
        )
        for order_id, each in ours.items()
    ]
    fills = [
        VenueFill(
            uid=UIDS[each.account_id],
            symbol=each.symbol,
            order_id=each.venue_order_id,
            fill_id=each.fill_id,
            quantity=each.quantity,
            price=each.price,
        )
        for each in journal().fills
    ]
    return Venue(
        uids=[*UIDS.values(), REFUSED_UID],
        orders=orders,
        fills=fills,
        requests=_requests(),
        holdings={
            (101, "VVV"): d("10"),
            (102, "VVV"): d("10"),
            (102, "BTC"): d("0.1"),
            (101, "USDT"): d("830"),
            (REFUSED_UID, "USDT"): d("1000"),
        },
    )


def _requests() -> list[VenueRequest]:
    """Every sending, received 5 ms after its claim; the OCO's two legs came in one request with their list."""
    singles = [each for each in journal().orders if each.list_client_id is None]
    legs = [each for each in journal().orders if each.list_client_id is not None]
    requests = [
        VenueRequest(
            sequence=number,
            received_ms=each.claimed_ms[0] + 5,
            uid=UIDS[each.account_id],
            client_ids=(each.client_order_id,),
            is_executed=each.state != "NEVER_ARRIVED",
            is_answered=each.state != "NEVER_ARRIVED",
        )
        for number, each in enumerate(singles, start=1)
    ]
    together = VenueRequest(
        sequence=len(requests) + 1,
        received_ms=1_005,
        uid=101,
        client_ids=(LIST_ID, *(each.client_order_id for each in legs)),
        is_executed=True,
    )
    return [*requests, together]


def expected() -> list[Expected]:
    """What the story calls for."""
    return [
        Expected(number=1, signal_id=OPEN, account_id="acc1"),
        Expected(number=2, signal_id=OPEN, account_id="acc2", is_first_executed=False),
        Expected(number=3, signal_id=OPEN, account_id="acc3", skip_reason="paused"),
    ]
