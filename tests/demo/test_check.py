"""The check finds nothing where both sides agree, and each kind of disagreement where one was planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.support.demo_case import (
    CLOSE,
    OPEN,
    REFUSED_UID,
    d,
    decision,
    expected,
    journal,
    lot,
    order,
    venue,
)

from tradewind.demo.case import KeyOutcome, Wrong
from tradewind.demo.check import Verdict, check, entry_of
from tradewind.demo.facts import Expected, Journal, JournalOrder, Venue, VenueFill, VenueOrder, VenueRequest

Sides = tuple[Journal, Venue, list[Expected]]
Plant = Callable[[Journal, Venue, list[Expected]], Sides]


def kinds(verdict: Verdict) -> set[Wrong]:
    return {each.kind for each in verdict.disagreements}


def changed(orders: Sequence[JournalOrder], order_id: str, **changes: object) -> list[JournalOrder]:
    assert any(each.id == order_id for each in orders)
    return [replace(each, **changes) if each.id == order_id else each for each in orders]  # type: ignore[arg-type]


def at_venue(orders: Sequence[VenueOrder], order_id: str, **changes: object) -> list[VenueOrder]:
    assert any(each.order_id == order_id for each in orders)
    return [replace(each, **changes) if each.order_id == order_id else each for each in orders]  # type: ignore[arg-type]


def test_check_when_both_sides_agree_finds_nothing() -> None:
    verdict = check(journal(), venue(), expected(), [KeyOutcome(1, None, None), KeyOutcome(9, "x", "x")])
    assert verdict.disagreements == ()
    assert verdict.agrees
    assert (verdict.duplicates, verdict.lost, verdict.unknown, verdict.unprotected) == (0, 0, 0, 0)


# --- planted disagreements -------------------------------------------------------------------------


def no_decision(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, decisions=[each for each in ours.decisions if each.account_id != "acc3"]), theirs, story[:2]


def two_decisions(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, decisions=[*ours.decisions, decision(OPEN, "acc3", "paused")]), theirs, story


def decided_without_mandate(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, mandates=ours.mandates[:2]), theirs, story


def other_skip_reason(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, theirs, [*story[:2], replace(story[2], skip_reason="too_small")]


def skipped_instead_of_placed(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, theirs, [*story[:2], replace(story[2], skip_reason=None)]


def failure_never_noticed(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, orders=changed(ours.orders, "i2-entry-0", was_in_doubt=False)), theirs, story


def failure_that_did_not_happen(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    answered = [replace(each, is_answered=True) for each in theirs.requests]
    return ours, replace(theirs, requests=answered), story


def failure_with_another_ending(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, theirs, [story[0], replace(story[1], is_first_executed=True), story[2]]


def entry_absent(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    orders = [each for each in theirs.orders if each.order_id != "1"]
    return ours, replace(theirs, orders=orders), story


def place_without_order(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    orders = [each for each in ours.orders if each.intent_id != "i1"]
    return replace(ours, orders=orders), theirs, story


def bought_twice(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    """The late copy of the order that counted as never arrived was executed after all."""
    first = next(each for each in ours.orders if each.id == "i2-entry-0")
    late = VenueOrder(
        uid=102,
        symbol="VVVUSDT",
        order_id="77",
        client_order_id=first.client_order_id,
        side="BUY",
        type="MARKET",
        status="FILLED",
        executed=d("10"),
        executed_quote=d("170"),
    )
    return ours, replace(theirs, orders=[*theirs.orders, late]), story


def entry_of_a_skipped_account(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    stray = order("acc3", "i9", "entry", "DENIED", signal_id=OPEN)
    return replace(ours, orders=[*ours.orders, stray]), theirs, story


def order_of_a_refused_user(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    stray = replace(theirs.orders[0], uid=REFUSED_UID, order_id="78")
    return ours, replace(theirs, orders=[*theirs.orders, stray]), story


def order_nobody_recorded(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    stray = replace(theirs.orders[0], order_id="79", client_order_id="twsomethingelse", side="SELL")
    return ours, replace(theirs, orders=[*theirs.orders, stray]), story


def order_of_ours_only(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    orders = [each for each in theirs.orders if each.order_id != "6"]
    return ours, replace(theirs, orders=orders), story


def other_state(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, replace(theirs, orders=at_venue(theirs.orders, "6", status="EXPIRED")), story


def other_quantity(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, replace(theirs, orders=at_venue(theirs.orders, "6", executed=d("0.8"))), story


def other_venue_id(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, orders=changed(ours.orders, "p1-stop-0", venue_order_id="99")), theirs, story


def never_arrived_but_there(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, orders=changed(ours.orders, "p1-target-0", state="NEVER_ARRIVED")), theirs, story


def fill_not_booked(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, fills=ours.fills[1:]), theirs, story


def fill_booked_twice(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, fills=[*ours.fills, ours.fills[0]]), theirs, story


def fill_made_up(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, replace(theirs, fills=theirs.fills[1:]), story


def fill_with_other_price(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    other: VenueFill = replace(theirs.fills[0], price=d("16.9"))
    return ours, replace(theirs, fills=[other, *theirs.fills[1:]]), story


def received_before_claimed(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    early: VenueRequest = replace(theirs.requests[0], received_ms=999)
    return ours, replace(theirs, requests=[early, *theirs.requests[1:]]), story


def sent_again_without_a_claim(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    again = replace(theirs.requests[0], sequence=50, received_ms=2_000)
    return ours, replace(theirs, requests=[*theirs.requests, again]), story


def one_generation_twice(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    twin = replace(next(each for each in ours.orders if each.id == "i2-entry-0"), id="twin")
    return replace(ours, orders=[*ours.orders, twin]), theirs, story


def id_of_nowhere(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    orders = changed(ours.orders, "i2-entry-0", client_order_id="tw" + "a" * 26)
    return replace(ours, orders=orders), theirs, story


def two_orders_under_one_id(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    twin = replace(next(each for each in theirs.orders if each.order_id == "6"), order_id="80")
    return ours, replace(theirs, orders=[*theirs.orders, twin]), story


def still_in_doubt(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, orders=changed(ours.orders, "i4-exit-0", state="UNKNOWN")), theirs, story


def still_intended(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    waiting = order("acc1", "p2", "stop", "INTENDED", intent_kind="protection", claimed_ms=())
    return replace(ours, orders=[*ours.orders, waiting]), theirs, story


def holds_more(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, replace(theirs, holdings={**theirs.holdings, (101, "VVV"): d("20")}), story


def holds_what_no_lot_knows(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return ours, replace(theirs, holdings={**theirs.holdings, (103, "ETH"): d("1")}), story


def unprotected(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    lots = [ours.lots[0], replace(ours.lots[1], state="unprotected", state_reason="no_price"), *ours.lots[2:]]
    return replace(ours, lots=lots), theirs, story


def state_of_no_section(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    return replace(ours, lots=[ours.lots[0], replace(ours.lots[1], state="fine"), *ours.lots[2:]]), theirs, story


def native_without_a_stop(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    orders = at_venue(theirs.orders, "2", status="CANCELED")
    return (
        replace(ours, orders=changed(ours.orders, "p1-stop-0", state="CANCELED")),
        replace(theirs, orders=orders),
        story,
    )


def left_after_the_close(ours: Journal, theirs: Venue, story: list[Expected]) -> Sides:
    left = replace(lot("lot3", "acc2", "0.1", "protected_watched"), symbol="BTCUSDT", base="BTC")
    return replace(ours, lots=[*ours.lots[:2], left]), theirs, story


PLANTED: tuple[tuple[Plant, Wrong], ...] = (
    (no_decision, Wrong.DECISION),
    (two_decisions, Wrong.DECISION),
    (decided_without_mandate, Wrong.DECISION),
    (other_skip_reason, Wrong.FATE),
    (skipped_instead_of_placed, Wrong.FATE),
    (failure_never_noticed, Wrong.FATE),
    (failure_that_did_not_happen, Wrong.FATE),
    (failure_with_another_ending, Wrong.FATE),
    (entry_absent, Wrong.ENTRY_MISSING),
    (place_without_order, Wrong.ENTRY_MISSING),
    (bought_twice, Wrong.ENTRY_TWICE),
    (entry_of_a_skipped_account, Wrong.ENTRY_UNCALLED),
    (order_of_a_refused_user, Wrong.ENTRY_UNCALLED),
    (order_nobody_recorded, Wrong.ORDER_LOST),
    (order_of_ours_only, Wrong.ORDER_INVENTED),
    (other_state, Wrong.ORDER_DIFFERS),
    (other_quantity, Wrong.ORDER_DIFFERS),
    (other_venue_id, Wrong.ORDER_DIFFERS),
    (never_arrived_but_there, Wrong.ORDER_DIFFERS),
    (fill_not_booked, Wrong.FILL_LOST),
    (fill_booked_twice, Wrong.FILL_INVENTED),
    (fill_made_up, Wrong.FILL_INVENTED),
    (fill_with_other_price, Wrong.FILL_DIFFERS),
    (received_before_claimed, Wrong.UNCLAIMED),
    (sent_again_without_a_claim, Wrong.UNCLAIMED),
    (one_generation_twice, Wrong.ID),
    (id_of_nowhere, Wrong.ID),
    (two_orders_under_one_id, Wrong.ID),
    (still_in_doubt, Wrong.UNFINISHED),
    (still_intended, Wrong.UNFINISHED),
    (holds_more, Wrong.HOLDING),
    (holds_what_no_lot_knows, Wrong.HOLDING),
    (unprotected, Wrong.UNPROTECTED),
    (state_of_no_section, Wrong.UNPROTECTED),
    (native_without_a_stop, Wrong.NATIVE_ABSENT),
    (left_after_the_close, Wrong.NOT_CLOSED),
)


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_check_when_a_disagreement_is_planted_names_it(plant: Plant, kind: Wrong) -> None:
    verdict = check(*plant(journal(), venue(), expected()))
    assert kind in kinds(verdict)
    assert not verdict.agrees
    assert all(each.text for each in verdict.disagreements)


def test_check_when_a_key_was_taken_that_should_be_refused_names_it() -> None:
    verdict = check(journal(), venue(), expected(), [KeyOutcome(9, "key_can_withdraw", None)])
    assert kinds(verdict) == {Wrong.KEY}


def test_planted_disagreements_cover_every_kind() -> None:
    assert {kind for _, kind in PLANTED} | {Wrong.KEY} == set(Wrong)


@pytest.mark.parametrize(
    ("plant", "count"),
    [
        (bought_twice, "duplicates"),
        (order_nobody_recorded, "lost"),
        (fill_not_booked, "lost"),
        (still_in_doubt, "unknown"),
        (unprotected, "unprotected"),
    ],
)
def test_check_when_something_is_wrong_counts_it(plant: Plant, count: str) -> None:
    assert getattr(check(*plant(journal(), venue(), expected())), count) == 1


def test_check_when_a_remainder_of_the_close_is_dust_lets_it_be() -> None:
    ours = journal()
    left = replace(lot("lot3", "acc2", "0.1", "dust"), symbol="BTCUSDT", base="BTC")
    assert check(replace(ours, lots=[*ours.lots[:2], left]), venue(), expected()).agrees


def test_entry_of_when_sent_again_is_the_newest_generation() -> None:
    found = entry_of(journal(), OPEN, "acc2")
    assert found is not None
    assert found.generation == 1
    assert entry_of(journal(), CLOSE, "acc2") is None


def test_check_when_the_stream_told_before_the_answer_was_missed_agrees() -> None:
    ours, theirs, story = journal(), venue(), expected()
    first = next(each for each in ours.orders if each.id == "i1-entry-0")
    unanswered = [
        replace(each, is_answered=first.client_order_id not in each.client_ids and each.is_answered)
        for each in theirs.requests
    ]
    told = [replace(story[0], is_first_executed=True), *story[1:]]
    assert check(ours, replace(theirs, requests=unanswered), told).agrees is True
