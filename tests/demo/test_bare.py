"""How long positions stood without a stop at the exchange, out of the exchange's own log."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from tradewind.demo.bare import bare_spans
from tradewind.demo.facts import Venue, VenueFill, VenueOrder

Row = tuple[str, str, int, int, str]

# Kind, status, placed, updated, quantity filled at the moment it was updated (at 100).
BOUGHT = ("MARKET", "FILLED", 1_000, 1_000, "1")
SOLD = ("MARKET", "FILLED", 9_000, 9_000, "-1")


def _venue(rows: Sequence[Row]) -> Venue:
    orders, fills = [], []
    for number, (kind, status, placed_ms, updated_ms, filled) in enumerate(rows):
        quantity = Decimal(filled)
        orders.append(
            VenueOrder(
                uid=1,
                symbol="BTCUSDT",
                order_id=str(number),
                client_order_id=f"tw{number}",
                side="BUY" if quantity > 0 else "SELL",
                type=kind,
                status=status,
                executed=abs(quantity),
                executed_quote=abs(quantity) * 100,
                placed_ms=placed_ms,
                updated_ms=updated_ms,
            )
        )
        if quantity:
            fills.append(
                VenueFill(
                    uid=1,
                    symbol="BTCUSDT",
                    order_id=str(number),
                    fill_id=str(number),
                    quantity=abs(quantity),
                    price=Decimal(100),
                    at_ms=updated_ms,
                )
            )
    return Venue(uids=[1], orders=orders, fills=fills, requests=[], holdings={})


@pytest.mark.parametrize(
    ("rows", "spans"),
    [
        ([BOUGHT, ("STOP_LOSS", "NEW", 1_400, 1_400, "0")], [400]),
        ([BOUGHT, SOLD], [8_000]),
        # A stop that fills ends and sells in one moment.
        ([BOUGHT, ("STOP_LOSS", "FILLED", 1_100, 5_000, "-1")], [100]),
        # Replaced: the gap between the old one's end and the new one counts.
        (
            [BOUGHT, ("STOP_LOSS", "CANCELED", 1_000, 3_000, "0"), ("STOP_LOSS", "NEW", 3_050, 3_050, "0")],
            [50],
        ),
        # A target protects from nothing; what is bare to the end has no length yet.
        ([BOUGHT, ("LIMIT_MAKER", "NEW", 1_200, 1_200, "0")], []),
        # Dust cannot be sold, so no stop can stand for it.
        ([("MARKET", "FILLED", 1_000, 1_000, "0.05"), ("STOP_LOSS", "NEW", 4_000, 4_000, "0")], []),
    ],
)
def test_bare_spans_when_stops_come_and_go_then_the_gaps_between_them(rows: list[Row], spans: list[int]) -> None:
    assert bare_spans(_venue(rows)) == spans
