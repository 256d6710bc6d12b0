"""Which lots a sell takes from: fixed at its claim, lot by lot, by the order of the inbox and not of any clock."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.support.journal import ACCOUNT, Desk, fill_of, journal_desk, report_of, venue_now

from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Quantity
from tradewind.core.order import Leg, Order, OrderState
from tradewind.core.position import SellPart
from tradewind.execution import parts_store
from tradewind.execution.exits import sells_lot
from tradewind.execution.intent_store import load_intent
from tradewind.execution.outcomes import Outcome
from tradewind.portfolio.service import Portfolio, SellScope

D = Decimal


def _parts(desk: Desk, order: Order) -> list[tuple[str, str]]:
    found = desk.db.read_now(lambda tx: parts_store.list_parts(tx, [order.id]))
    return [(part.lot_id, str(part.quantity)) for part in found.get(order.id, ())]


def _left(desk: Desk) -> dict[str, str]:
    return {holding.lot.id: str(holding.lot.quantity) for holding in desk.held()}


def _incidents(desk: Desk) -> list[str]:
    return list(desk.db.read_now(lambda tx: list(tx.execute(text("SELECT kind FROM incidents")).scalars())))


def test_fault_55_sells_of_two_sources_when_the_younger_lot_is_filled_first_then_each_on_its_own(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: a close sells the lots of its source only."""
    with journal_desk(tmp_path) as desk:
        old = desk.bought(source="a", seq=1)
        young = desk.bought(source="b", seq=2)
        (of_old,) = desk.claim_exit(desk.close("a", 3)).sent
        (of_young,) = desk.claim_exit(desk.close("b", 4)).sent
        desk.apply(desk.filled(of_young, "0.00039"))
        assert _left(desk)[old.lot.id] == "0.0003996"
        desk.apply(desk.filled(of_old, "0.00039"))
        assert _incidents(desk) == []
        sold = desk.db.read_now(lambda tx: tx.execute(text("SELECT order_id, lot_id FROM sales")).all())
        assert {tuple(row) for row in sold} == {(of_old.id, old.lot.id), (of_young.id, young.lot.id)}


def test_hand_sell_beside_an_exit_of_the_oldest_lot_then_it_takes_the_other_lot(tmp_path: Path) -> None:
    """order-protocol.md section 4, sellable: what another sell may still take is left to it, lot by lot."""
    with journal_desk(tmp_path) as desk:
        old, young = desk.bought(), desk.bought()
        (exiting,) = desk.claim_exit(desk.exit(lot_id=old.lot.id)).sent
        (by_hand,) = desk.claim_exit(desk.sell_by_hand("0.0003")).sent
        assert _parts(desk, by_hand) == [(old.lot.id, "0.0000096"), (young.lot.id, "0.0002904")]
        # The hand sell is filled first: the older lot keeps what its own exit is selling.
        desk.apply(desk.filled(by_hand, "0.0003"))
        assert _left(desk) == {old.lot.id: "0.00039", young.lot.id: "0.0001092"}
        desk.apply(desk.filled(exiting, "0.00039"))
        assert _left(desk) == {young.lot.id: "0.0001092"}
        assert _incidents(desk) == []


def test_sell_when_its_lot_has_shrunk_then_the_rest_leaves_its_scope_and_is_told(tmp_path: Path) -> None:
    """order-protocol.md section 2: a fill is booked whatever happened, and what surprises opens an incident."""
    with journal_desk(tmp_path) as desk:
        first, second = desk.bought(source="a", seq=1), desk.bought(source="a", seq=2)
        (sent,) = desk.claim_exit(desk.sell_by_hand("0.0003")).sent
        assert _parts(desk, sent) == [(first.lot.id, "0.0003")]
        desk.db.write_now(
            lambda tx: tx.execute(text("UPDATE lots SET quantity = '0.0001' WHERE id = :i"), {"i": first.lot.id})
        )
        desk.apply(desk.filled(sent, "0.0003"))
        assert _left(desk) == {second.lot.id: "0.0001996"}
        assert _incidents(desk) == ["sold_other_lots"]


def test_sell_when_claimed_by_an_earlier_release_then_counted_and_booked_oldest_first(tmp_path: Path) -> None:
    """order-protocol.md section 9: a journal written by any earlier release is recovered by this one."""
    with journal_desk(tmp_path) as desk:
        old, young = desk.bought(source="a", seq=1), desk.bought(source="a", seq=2)
        (sent,) = desk.claim_exit(desk.sell_by_hand("0.0005")).sent
        desk.db.write_now(lambda tx: tx.execute(text("DELETE FROM sell_parts")))
        (again,) = desk.claim_exit(desk.exit(lot_id=young.lot.id)).sent
        assert again.quantity == Quantity(D("0.00029"))
        desk.apply(desk.filled(sent, "0.0005"))
        assert _left(desk) == {young.lot.id: "0.0002992"}
        assert old.lot.id not in _left(desk)
        assert _incidents(desk) == []


def test_sell_when_it_came_back_unsent_then_its_next_claim_fixes_the_lots_anew(tmp_path: Path) -> None:
    """order-protocol.md section 4: an exit's quantity is decided anew, and with it the lots."""
    with journal_desk(tmp_path) as desk:
        first = desk.bought(source="a", seq=1)
        order = desk.sell_by_hand("0.0003")
        desk.db.write_now(
            lambda tx: parts_store.replace_parts(
                tx,
                order.id,
                [SellPart(first.lot.id, Quantity(D("0.0002"))), SellPart(first.lot.id, Quantity(D("0.0001")))],
            )
        )
        (sent,) = desk.claim_exit(order).sent
        assert _parts(desk, sent) == [(first.lot.id, "0.0003")]


def test_stop_when_a_close_of_all_is_in_doubt_then_not_claimed_beside_it(tmp_path: Path) -> None:
    """order-protocol.md section 4: a trigger that meets a sell in doubt adds no second one."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought(source="a", seq=1)
        assert desk.claim_exit(desk.close("a", 2)).sent
        legs = [desk.leg(lot, Leg.STOP), desk.leg(lot, Leg.TARGET)]
        claim = desk.db.write_now(
            lambda tx: desk.journal.claim_protective(tx, [[leg.id for leg in legs]], venue_now, desk.clock.now())
        )
        assert claim.sent == ()


# --- the order of signals ----------------------------------------------------------------------------


def test_scope_of_a_close_when_the_clock_went_back_then_the_inbox_decides(tmp_path: Path) -> None:
    """order-protocol.md section 4: signals are handled in order; ids made after a clock step cannot turn it."""
    with journal_desk(tmp_path) as desk:
        earlier = desk.bought(source="a", seq=7)
        later = desk.bought(source="a", seq=9)
        # Ids say the opposite: the open that came first carries the larger one.
        for lot_id, signal_id in ((earlier.lot.id, "0199-z"), (later.lot.id, "0199-a")):
            desk.db.write_now(
                lambda tx, lot_id=lot_id, signal_id=signal_id: tx.execute(  # type: ignore[misc]
                    text("UPDATE lots SET signal_id = :s WHERE id = :i"), {"s": signal_id, "i": lot_id}
                )
            )
        scope = SellScope(ACCOUNT, "BTCUSDT", source_id=SourceId("a"), until_seq=8)
        assert [each.lot.id for each in desk.db.read_now(lambda tx: Portfolio.lots_in(tx, scope))] == [earlier.lot.id]
        (sent,) = desk.claim_exit(desk.close("a", 8)).sent
        assert _parts(desk, sent) == [(earlier.lot.id, "0.00039")]


def test_exit_of_a_close_when_asked_about_a_later_lot_then_it_does_not_sell_it(tmp_path: Path) -> None:
    """order-protocol.md section 4: an old close never takes a lot of a later open."""
    with journal_desk(tmp_path) as desk:
        earlier, later = desk.bought(source="a", seq=7), desk.bought(source="a", seq=9)
        closing = desk.close("a", 8)
        intent = desk.db.read_now(lambda tx: load_intent(tx, closing.intent_id))
        assert intent.signal_seq == 8
        assert sells_lot(intent, earlier)
        assert not sells_lot(intent, later)


def test_lot_when_it_has_no_place_in_the_inbox_then_a_close_of_its_source_takes_it(tmp_path: Path) -> None:
    """order-protocol.md section 9: rows without a place, of an earlier release, are still closed."""
    with journal_desk(tmp_path) as desk:
        adopted = desk.bought(source="a", seq=None)
        assert adopted.lot.signal_id is None or SignalId(adopted.lot.signal_id)
        (sent,) = desk.claim_exit(desk.close("a", 1)).sent
        assert [lot_id for lot_id, _ in _parts(desk, sent)] == [adopted.lot.id]


# --- any interleaving --------------------------------------------------------------------------------

_KINDS = ("lot 1", "lot 2", "close a", "close b", "by hand")


def _sell(desk: Desk, kind: str, lots: Sequence[str]) -> Order:
    if kind.startswith("lot"):
        return desk.exit(lot_id=lots[int(kind[-1]) - 1])
    if kind.startswith("close"):
        return desk.close(kind[-1], 100)
    return desk.sell_by_hand("0.0006")


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.tuples(st.sampled_from(_KINDS), st.sampled_from(_KINDS)),
    # Which of the two is filled next, and how many hundred-thousandths of it.
    fills=st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=12),
)
def test_two_sells_when_filled_in_any_order_then_each_is_booked_on_its_own_lots(
    kinds: tuple[str, str], fills: list[tuple[bool, int]]
) -> None:
    """order-protocol.md section 11, I-8: position = sum of fills; sells never exceed it; nothing is negative."""
    with tempfile.TemporaryDirectory() as folder, journal_desk(Path(folder)) as desk:
        lots = [desk.bought(source=source, seq=seq).lot.id for seq, source in enumerate("aba", start=1)]
        held = sum(D(each) for each in _left(desk).values())
        orders = [_sell(desk, kind, lots) for kind in kinds]
        sent = [order for each in orders for order in desk.claim_exit(each).sent]
        allowed = {
            order.id: {order.lot_id} if order.lot_id else {lot_id for lot_id, _ in _parts(desk, order)}
            for order in sent
        }
        done: dict[str, Decimal] = defaultdict(Decimal)
        for number, (is_second, steps) in enumerate(fills):
            order = sent[-1] if is_second else sent[0]
            assert order.quantity is not None
            size = min(D(steps) / 100_000, order.quantity.value - done[order.id])
            if size <= 0:
                continue
            done[order.id] += size
            state = OrderState.FILLED if done[order.id] == order.quantity.value else OrderState.PARTIALLY_FILLED
            fill = fill_of(order, str(size), fill_id=f"f{number}")
            desk.apply(Outcome(order.id, report_of(state, str(done[order.id])), (fill,)))
        sales = desk.db.read_now(lambda tx: tx.execute(text("SELECT order_id, lot_id, quantity FROM sales")).all())
        quantities = desk.db.read_now(lambda tx: tx.execute(text("SELECT quantity FROM lots")).scalars().all())
        assert _incidents(desk) == []
        assert all(row.lot_id in allowed[row.order_id] for row in sales)
        assert all(D(each) >= 0 for each in quantities)
        assert sum(D(each) for each in quantities) == held - sum(done.values())
