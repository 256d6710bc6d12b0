"""Watched triggers: the right lots, at the right venue, and nothing else."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.core.money import Price
from tradewind.core.protection import ExitCause
from tradewind.execution.watch import Armed, Watch

HERE = (BINANCE, Environment.PAPER, "BTCUSDT")


def price(value: int) -> Price:
    return Price(Decimal(value))


def test_price_when_at_or_past_a_level_then_that_lot_hits() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), price(110)))
    watch.arm(HERE, Armed("b", price(80), None))
    assert watch.on_price(HERE, price(100)) == []
    assert [(hit.lot_id, hit.cause) for hit in watch.on_price(HERE, price(90))] == [("a", ExitCause.STOP)]
    assert {hit.lot_id for hit in watch.on_price(HERE, price(79))} == {"a", "b"}
    assert [(hit.lot_id, hit.cause) for hit in watch.on_price(HERE, price(110))] == [("a", ExitCause.TARGET)]


def test_price_when_of_another_venue_or_environment_then_nothing_hits() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), None))
    for place in [
        (VenueName("upbit"), Environment.PAPER, "BTCUSDT"),
        (BINANCE, Environment.LIVE, "BTCUSDT"),
        (BINANCE, Environment.PAPER, "ETHUSDT"),
    ]:
        assert watch.on_price(place, price(1)) == []


def test_lot_when_disarmed_or_armed_again_then_only_the_last_levels_count() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), None))
    watch.arm(HERE, Armed("a", price(50), None))
    assert watch.on_price(HERE, price(80)) == []
    watch.disarm("a")
    watch.disarm("a")
    assert watch.on_price(HERE, price(1)) == []
    assert not watch.is_armed("a")


levels = st.integers(min_value=1, max_value=1_000)


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(levels, levels), max_size=20), levels)
def test_hits_when_compared_with_every_lot_one_by_one_then_equal(lots: dict[str, tuple[int, int]], at: int) -> None:
    watch = Watch()
    for lot_id, (stop, target) in lots.items():
        watch.arm(HERE, Armed(lot_id, price(stop), price(target)))
    expected = {lot_id for lot_id, (stop, target) in lots.items() if at <= stop or at >= target}
    assert {hit.lot_id for hit in watch.on_price(HERE, price(at))} == expected
