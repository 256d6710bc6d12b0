"""The schema of a lot: exactly what the view holds, on the stream and in answers alike."""

from __future__ import annotations

from tests.support.core_builders import empty_lot

from tradewind.core.ids import UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import lot_view
from tradewind.portfolio.shown import LotOut, PositionOut


def _holding(reason: str | None, rev: int) -> Holding:
    lot = empty_lot()
    return Holding(lot, UserId("u1"), BINANCE, Environment.PAPER, "unprotected", reason, None, rev, lot.opened_at)


def test_lot_schema_when_compared_with_the_view_then_same_fields_and_values() -> None:
    holding = _holding("just_filled", 3)
    view = lot_view(holding)
    assert set(LotOut.model_fields) == set(view)
    shown = LotOut.model_validate(view).model_dump(mode="json")
    times = {name: view[name].replace("+00:00", "Z") for name in ("opened_at", "protection_since")}
    assert shown == {**view, **times}


def test_position_when_the_venue_has_said_no_price_then_null_and_never_zero() -> None:
    holding = _holding(None, 0)
    shown = PositionOut.model_validate({**lot_view(holding), "age_s": 5})
    assert (shown.price, shown.unrealised) == (None, None)
