"""Accept once, hand out in order, record the end: on a real database (order-protocol.md sections 4 and 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.support.signal_builders import NOON, CountingIds, Inbox, alerts, at, signals_db, zulu

from tradewind.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Asset
from tradewind.core.signal import Action
from tradewind.infra.outbox import outbox
from tradewind.signals import service, store
from tradewind.signals.service import Accepted, LeaseLost
from tradewind.signals.tables import SignalState

ONE = SourceId("source-one")
BTC = Asset("BTC")


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with signals_db(tmp_path) as db:
        yield Inbox(db, CountingIds("signal"))


def notes(inbox: Inbox, topic: str = "signal") -> list[str]:
    query = select(outbox.c.payload).where(outbox.c.topic == topic).order_by(outbox.c.seq)
    return [row.payload for row in inbox.db.read_now(lambda tx: tx.execute(query).all())]


# --- accepting -------------------------------------------------------------------------------------


def test_signal_when_accepted_is_stored_whole(inbox: Inbox) -> None:
    body = {
        "action": "buy",
        "ticker": "BINANCE:BTCUSDT",
        "price": "67000.123456789012345678",
        "stop": "66000",
        "targets": ["70000", "71000.5"],
        "qty": "0.00000001",
        "sent_at": zulu(at(-1)),
        "strategy": "rsi",
    }
    (expected,) = alerts(body)
    accepted = inbox.accept(body)
    entry = inbox.db.read_now(lambda tx: service.load_entry(tx, accepted.ids[0]))
    assert entry.signal == expected.draft.received(accepted.ids[0], ONE, NOON)
    assert (entry.state, entry.attempts, entry.rev) == (SignalState.NEW, 0, 1)
    assert len(notes(inbox)) == 1


def test_fault_13_body_without_id_when_repeated_within_60_s_is_the_same_signal(inbox: Inbox) -> None:
    """reliability.md fault 13; order-protocol.md section 8."""
    first = inbox.accept("buy BTCUSDT")
    again = inbox.accept("buy  BTCUSDT\n", at(59.9))
    assert again.ids == first.ids
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert inbox.count() == 1
    assert len(notes(inbox)) == 1


def test_fault_15_body_without_id_when_repeated_after_60_s_is_a_new_signal(inbox: Inbox) -> None:
    first = inbox.accept("buy BTCUSDT")
    later = inbox.accept("buy BTCUSDT", at(60.1))
    assert later.ids != first.ids
    assert inbox.count() == 2


def test_window_of_a_repeat_when_crossing_a_minute_is_no_time_bucket(inbox: Inbox) -> None:
    first = inbox.accept("buy BTCUSDT", at(59.5))
    assert inbox.accept("buy BTCUSDT", at(60.5)).ids == first.ids
    # The window counts from the signal, so repeats of repeats do not stretch it.
    assert inbox.accept("buy BTCUSDT", at(119)).ids == first.ids
    assert inbox.accept("buy BTCUSDT", at(120)).ids != first.ids


def test_same_body_when_sent_by_another_source_is_another_signal(inbox: Inbox) -> None:
    first = inbox.accept("buy BTCUSDT")
    other = inbox.accept("buy BTCUSDT", source_name="two")
    assert other.ids != first.ids


def test_fault_16_id_when_repeated_after_a_year_is_the_same_signal(inbox: Inbox) -> None:
    body = {"action": "buy", "ticker": "BTCUSDT", "id": "a-1", "sent_at": zulu(NOON)}
    first = inbox.accept(body)
    again = inbox.accept(body, NOON + timedelta(days=365))
    assert (again.ids, again.is_repeat) == (first.ids, True)


def test_id_when_repeated_with_other_content_is_a_conflict_and_stores_nothing(inbox: Inbox) -> None:
    inbox.accept({"action": "buy", "ticker": "BTCUSDT", "id": "a-1"})
    with pytest.raises(Conflict) as caught:
        inbox.accept({"action": "sell", "ticker": "BTCUSDT", "id": "a-1"})
    assert caught.value.code == "id_with_other_content"
    assert "a-1" in caught.value.message
    assert inbox.count() == 1


def test_array_when_one_message_cannot_be_accepted_stores_none(inbox: Inbox) -> None:
    inbox.accept({"action": "buy", "ticker": "ETHUSDT", "id": "a-1"})
    with pytest.raises(Conflict):
        inbox.accept([{"action": "close", "ticker": "BTCUSDT"}, {"action": "buy", "ticker": "BTCUSDT", "id": "a-1"}])
    assert inbox.count() == 1


def test_array_when_repeated_gives_the_same_ids_in_order(inbox: Inbox) -> None:
    body = [{"action": "close", "ticker": "BTCUSDT"}, {"action": "buy", "ticker": "ETHUSDT"}]
    first, again = inbox.accept(body), inbox.accept(body, at(5))
    assert again.ids == first.ids
    assert len(set(first.ids)) == 2
    assert again.is_repeat


@pytest.mark.parametrize(
    ("age_s", "code"), [(61, "stale_alert"), (86_400, "stale_alert"), (-61, "alert_from_the_future")]
)
def test_fault_16_entry_when_too_old_or_ahead_is_refused_and_not_stored(inbox: Inbox, age_s: int, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(-age_s))})
    assert caught.value.code == code
    assert "Nothing was stored" in caught.value.message
    assert inbox.count() == 0
    assert notes(inbox) == []


@pytest.mark.parametrize("age_s", [0, 60, -60])
def test_entry_when_within_the_limits_is_accepted(inbox: Inbox, age_s: int) -> None:
    inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(-age_s))})
    assert inbox.count() == 1


def test_fault_18_close_when_an_hour_old_is_accepted(inbox: Inbox) -> None:
    inbox.accept({"action": "close", "ticker": "BTCUSDT", "sent_at": zulu(at(-3_600))})
    assert inbox.count() == 1


def test_repeat_of_an_accepted_entry_when_stale_by_now_gets_the_same_answer(inbox: Inbox) -> None:
    body = {"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(NOON)}
    first = inbox.accept(body, at(50))
    assert inbox.accept(body, at(65)).ids == first.ids


def test_source_when_switched_off_takes_nothing(inbox: Inbox) -> None:
    inbox.db.write_now(lambda tx: store.update_source(tx, ONE, is_enabled=False))
    with pytest.raises(Forbidden):
        inbox.accept("buy BTCUSDT")
    assert inbox.count() == 0


def test_source_when_unknown_is_not_found(inbox: Inbox) -> None:
    with pytest.raises(NotFound):
        inbox.accept("buy BTCUSDT", source_name="three")


async def test_fault_13_hundred_copies_at_once_when_accepted_store_one_row(inbox: Inbox) -> None:
    parsed = alerts("buy BTCUSDT")

    async def send() -> Accepted:
        return await inbox.db.write(lambda tx: service.accept(tx, inbox.ids, ONE, parsed, NOON))

    answers = await asyncio.gather(*(send() for _ in range(100)))
    assert len({answer.ids for answer in answers}) == 1
    assert sum(not answer.is_repeat for answer in answers) == 1
    assert inbox.count() == 1


# --- handing out -----------------------------------------------------------------------------------


def test_claim_when_nothing_waits_gives_nothing(inbox: Inbox) -> None:
    assert inbox.claim(NOON) is None


def test_open_then_close_of_one_asset_when_claimed_never_swap(inbox: Inbox) -> None:
    """order-protocol.md section 4: not claimed while an earlier undone one touches the same asset."""
    (opened,) = inbox.accept("buy BTCUSDT").ids
    (closed,) = inbox.accept("close BTCUSDT", at(1), source_name="two").ids
    first = inbox.claim(at(1), "a")
    assert first is not None
    assert first.signal.id == opened
    # Under way is not done: the close waits, whoever asks.
    assert inbox.claim(at(1), "b") is None
    inbox.decide(opened, at(2), "a")
    second = inbox.claim(at(2), "b")
    assert second is not None
    assert second.signal.id == closed


def test_signals_of_different_assets_when_claimed_do_not_wait_for_each_other(inbox: Inbox) -> None:
    bodies = ("buy BTCUSDT", "buy ETHUSDT", "sell BTCKRW", "sell ETH/USD")
    ids = [inbox.accept(body).ids[0] for body in bodies]
    claimed = [inbox.claim(NOON, str(n)) for n in range(4)]
    assert [one.signal.id if one else None for one in claimed] == [ids[0], ids[1], None, None]


def test_lease_when_over_lets_another_worker_in_and_shuts_the_first_out(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    inbox.claim(NOON, "slow", lease_s=10)
    assert inbox.claim(at(9.9), "quick") is None
    again = inbox.claim(at(10), "quick")
    assert again is not None
    assert (again.signal.id, again.attempts) == (signal_id, 2)
    with pytest.raises(LeaseLost):
        inbox.decide(signal_id, at(10.1), "slow")
    inbox.decide(signal_id, at(10.2), "quick")


def test_lease_when_over_and_nobody_came_is_still_lost(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    inbox.claim(NOON, "slow", lease_s=10)
    with pytest.raises(LeaseLost):
        inbox.decide(signal_id, at(10), "slow")


def test_lease_when_renewed_in_time_lasts_longer(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    inbox.claim(NOON, "worker", lease_s=10)
    inbox.db.write_now(lambda tx: service.renew(tx, signal_id, "worker", at(9), 10))
    assert inbox.claim(at(15), "other") is None
    inbox.decide(signal_id, at(18))


def test_signal_when_decided_is_not_decided_again(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    inbox.claim(NOON)
    inbox.decide(signal_id, NOON)
    with pytest.raises(LeaseLost):
        inbox.decide(signal_id, NOON)
    assert inbox.claim(at(100)) is None
    inbox.db.write_now(lambda tx: service.mark_done(tx, signal_id, at(1)))
    inbox.db.write_now(lambda tx: service.mark_done(tx, signal_id, at(2)))
    entry = inbox.db.read_now(lambda tx: service.load_entry(tx, signal_id))
    assert entry.state is SignalState.DONE
    assert entry.decided_at == NOON


def test_transaction_of_decisions_when_it_fails_leaves_the_signal_claimed(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    inbox.claim(NOON)

    def work(tx: object) -> None:
        service.mark_decided(tx, signal_id, "worker", NOON)  # type: ignore[arg-type]
        raise RuntimeError("a later write failed")

    with pytest.raises(RuntimeError):
        inbox.db.write_now(work)
    inbox.decide(signal_id, at(1))


def test_fault_76_attempts_when_they_fail_back_off_and_end_in_the_dead_letter_box(inbox: Inbox) -> None:
    (signal_id,) = inbox.accept("close BTCUSDT").ids
    now, waits = NOON, []
    for _ in range(4):
        assert inbox.claim(now) is not None
        assert inbox.fail(signal_id, "the database is away", now) is SignalState.NEW
        wait = next(s for s in range(1, 20) if inbox.claim(now + timedelta(seconds=s), "probe") is not None)
        inbox.db.write_now(
            lambda tx, at_=now + timedelta(seconds=wait): service.release(tx, signal_id, "probe", at_)  # type: ignore[misc]
        )
        now += timedelta(seconds=wait)
        waits.append(wait)
    assert waits == [1, 2, 4, 8]
    assert inbox.claim(now) is not None
    assert inbox.fail(signal_id, "the database is away", now) is SignalState.DEAD
    entry = inbox.db.read_now(lambda tx: service.load_entry(tx, signal_id))
    assert (entry.state, entry.last_error) == (SignalState.DEAD, "the database is away")
    (told,) = notes(inbox, "signal.dead")
    assert '"is_alarm":true' in told
    # What is buried holds nobody back.
    inbox.accept("buy BTCUSDT", now)
    assert inbox.claim(now) is not None


def test_fault_76_signal_when_every_worker_dies_on_it_is_buried_and_frees_the_asset(inbox: Inbox) -> None:
    (poison,) = inbox.accept("buy BTCUSDT").ids
    (behind,) = inbox.accept("close BTCUSDT", at(1)).ids
    for n in range(5):
        claimed = inbox.claim(at(1 + 10 * n), f"worker-{n}", lease_s=10)
        assert claimed is not None
        assert claimed.signal.id == poison
    after = inbox.claim(at(51), "worker-5")
    assert after is not None
    assert after.signal.id == behind
    assert '"is_alarm":false' in notes(inbox, "signal.dead")[0]


# --- superseded ------------------------------------------------------------------------------------


def superseded(inbox: Inbox, signal_id: SignalId) -> bool:
    return inbox.db.read_now(lambda tx: service.is_superseded(tx, signal_id))


def test_fault_17_open_when_its_close_arrived_first_is_superseded(inbox: Inbox) -> None:
    inbox.accept({"action": "close", "ticker": "BTCUSDT", "sent_at": zulu(at(5))}, at(6))
    (late,) = inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(0))}, at(8)).ids
    assert superseded(inbox, late)
    assert inbox.db.read_now(lambda tx: service.last_close_at(tx, ONE, BTC)) == at(5)


def test_open_when_newer_than_the_close_is_not_superseded(inbox: Inbox) -> None:
    inbox.accept({"action": "close", "ticker": "BTCUSDT", "sent_at": zulu(at(5))}, at(6))
    (entry,) = inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(7))}, at(8)).ids
    assert not superseded(inbox, entry)


def test_open_and_close_of_one_second_are_ordered_by_arrival(inbox: Inbox) -> None:
    (before,) = inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(0)), "id": "1"}, at(0.2)).ids
    inbox.accept("close BTCUSDT", at(0.9))
    (after,) = inbox.accept({"action": "buy", "ticker": "BTCUSDT", "sent_at": zulu(at(0)), "id": "2"}, at(1.1)).ids
    assert superseded(inbox, before)
    assert not superseded(inbox, after)


def test_close_of_another_source_or_asset_supersedes_nothing(inbox: Inbox) -> None:
    (entry,) = inbox.accept("buy BTCUSDT").ids
    inbox.accept("close BTCUSDT", at(1), source_name="two")
    inbox.accept("close ETHUSDT", at(1))
    assert not superseded(inbox, entry)
    assert inbox.db.read_now(lambda tx: service.last_close_at(tx, ONE, BTC)) is None


def test_close_when_dated_ahead_counts_from_its_arrival(inbox: Inbox) -> None:
    inbox.accept({"action": "close", "ticker": "BTCUSDT", "sent_at": zulu(at(7_200))}, at(1))
    (entry,) = inbox.accept("buy BTCUSDT", at(5)).ids
    assert not superseded(inbox, entry)


# --- whatever happens ------------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "close", "claim", "decide", "fail", "wait"]), st.sampled_from(["BTC", "ETH"])),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps=_STEPS)
def test_any_course_of_events_keeps_the_order_per_asset(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    with signals_db(tmp_path_factory.mktemp("course")) as db:
        inbox = Inbox(db, CountingIds("signal"))
        now, sent, held = NOON, list[SignalId](), list[SignalId]()
        for count, (step, base) in enumerate(steps):
            now += timedelta(milliseconds=10)
            if step in ("open", "close"):
                sent.extend(inbox.accept({"action": step, "ticker": f"{base}USDT", "id": str(count)}, now).ids)
            elif step == "claim":
                claimed = inbox.claim(now)
                if claimed is not None:
                    assert not _has_earlier_undone(inbox, claimed.signal.id)
                    held.append(claimed.signal.id)
            elif step == "wait":
                now += timedelta(seconds=3)
            elif held and step == "decide":
                _try(partial(inbox.decide, held[0], now))
                held.pop(0)
            elif held:
                _try(partial(inbox.fail, held[0], "no", now))
                held.pop(0)
        assert inbox.count() == len(sent) == len(set(sent))


def _try(work: Callable[[], object]) -> None:
    try:
        work()
    except LeaseLost:
        return


def _has_earlier_undone(inbox: Inbox, signal_id: SignalId) -> bool:
    rows = inbox.db.read_now(lambda tx: service.list_entries(tx, visible=None, limit=1_000))
    mine = next(row for row in rows if row.signal.id == signal_id)
    return any(
        row.seq < mine.seq
        and row.signal.base == mine.signal.base
        and row.state in (SignalState.NEW, SignalState.CLAIMED)
        for row in rows
    )


def test_action_of_a_claimed_signal_is_the_one_sent(inbox: Inbox) -> None:
    inbox.accept("close BTCUSDT")
    claimed = inbox.claim(NOON)
    assert claimed is not None
    assert claimed.signal.action is Action.CLOSE
    assert claimed.source.id == ONE
