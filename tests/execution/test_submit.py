"""What an answer proves, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.journal import ACCOUNT, BTCUSDT, journal_desk, venue_now

from tradewind.core.instrument import Environment
from tradewind.core.order import Denied, OrderState, OutcomeLost, ReturnedUnsent, VenueReport
from tradewind.execution.emergency_store import PLATFORM
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Outcome
from tradewind.execution.sellable import Market
from tradewind.execution.submit import Submitter, event_of
from tradewind.venues.base import Placement, PlacementTold, PlaceOrder
from tradewind.venues.errors import (
    CredentialRefused,
    NotExecuted,
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueDown,
    VenueError,
)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (OrderRefused("insufficient_balance", "no"), VenueReport),
        (NotSent("connect", "no route"), ReturnedUnsent),
        (NotExecuted("timestamp", "outside"), ReturnedUnsent),
        (OutcomeUnknown("timeout", "nobody said"), OutcomeLost),
        (RateLimited("budget", "later"), OutcomeLost),
        (VenueDown("http_500", "down"), OutcomeLost),
        (VenueError("odd", "odd"), OutcomeLost),
        (KeyError("a bug"), OutcomeLost),
        (ConnectionResetError("cut"), OutcomeLost),
        (TimeoutError(), OutcomeLost),
    ],
)
def test_error_when_met_on_an_entry_then_only_proof_counts(tmp_path: Path, error: Exception, event: type) -> None:
    """order-protocol.md section 3."""
    with journal_desk(tmp_path) as desk:
        assert isinstance(event_of(desk.entry(), error, desk.clock.now()), event)


def test_fault_57_credential_error_when_on_entry_then_denied_and_on_exit_then_waits(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        refused = CredentialRefused("key", "refused")
        assert isinstance(event_of(desk.entry(), refused, desk.clock.now()), Denied)
        assert isinstance(event_of(desk.exit(), refused, desk.clock.now()), ReturnedUnsent)


def test_retry_at_when_the_venue_names_it_then_obeyed(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        at_ms = int(desk.clock.now().timestamp() * 1000) + 90_000
        event = event_of(desk.entry(), NotExecuted("rate_limit", "wait", retry_at_ms=at_ms), desk.clock.now())
        assert isinstance(event, ReturnedUnsent)
        assert event.release_at is not None
        assert (event.release_at - desk.clock.now()).total_seconds() == pytest.approx(90)


class _Bench:
    """A desk whose venue looks at the window as a client does, directly before the write."""

    def __init__(self) -> None:
        self.environment = Environment.PAPER
        self.account_id = ACCOUNT
        self.written: list[str] = []

    def client(self, _venue: object, _environment: object) -> Any:
        return self

    def signer(self, _account_id: object) -> Any:
        return self

    def instrument(self, _venue: object, _environment: object, _symbol: str) -> Any:
        return BTCUSDT

    async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
        for placement in placements:
            assert isinstance(placement.wanted, PlaceOrder)
            if not placement.window.is_open():
                told(placement, NotSent("stopped", "The order was stopped before it was signed."))
                continue
            self.written.append(placement.wanted.order_id)
            told(placement, OutcomeUnknown("timeout", "nobody said"))


async def test_fault_60_claimed_entry_when_stopped_before_it_is_written_then_denied_and_an_exit_is_written(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: a claimed one not yet signed becomes NotSent."""
    with journal_desk(tmp_path) as desk:
        bench, latch = _Bench(), Latch()
        submitter = Submitter(cast(Any, bench), latch, desk.clock, lambda _account, _code: None)
        lot = desk.bought()
        (claimed,) = desk.claim(desk.entry())
        leaving, market, now = desk.exit(lot_id=lot.lot.id), Market(BTCUSDT, None), desk.clock.now()
        claim = desk.db.write_now(lambda tx: desk.journal.claim_exits(tx, {leaving.id: market}, venue_now, now))
        latch.ask(PLATFORM)
        (outcome,) = await submitter.send(claimed)
        assert outcome.event == Denied(desk.clock.now(), "stopped")
        desk.apply(outcome)
        assert (desk.order(claimed).state, desk.order(claimed).reason) == (OrderState.DENIED, "stopped")
        await submitter.send(claim.sent[0])
        assert [str(order_id) for order_id in bench.written] == [leaving.id]


async def test_claimed_orders_when_the_process_may_send_nothing_more_then_returned_and_not_denied(
    tmp_path: Path,
) -> None:
    with journal_desk(tmp_path) as desk:
        bench, latch = _Bench(), Latch()
        submitter = Submitter(cast(Any, bench), latch, desk.clock, lambda _account, _code: None)
        (claimed,) = desk.claim(desk.entry())
        latch.close("commit_in_doubt")
        (outcome,) = await submitter.send(claimed)
        assert isinstance(outcome.event, ReturnedUnsent)
        assert bench.written == []


async def test_answers_when_whoever_counts_credentials_fails_then_every_order_is_in_doubt_and_none_is_lost(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 3.5: everything that is not a clear acceptance is UNKNOWN."""

    class Refusing(_Bench):
        async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
            for placement in placements:
                told(placement, CredentialRefused("key", "refused", signed_at_ms=1_000))

    def failing(_account: object, _code: object) -> None:
        raise RuntimeError("a mistake of ours")

    with journal_desk(tmp_path) as desk:
        submitter = Submitter(cast(Any, Refusing()), Latch(), desk.clock, failing)
        claimed = desk.claim(desk.entry(), desk.entry(source="s2"))
        heard: list[Outcome] = []
        await submitter.send_all([(order,) for order in claimed], heard.extend)
        assert [each.order_id for each in heard] == [order.id for order in claimed]
        doubt = OutcomeLost(desk.clock.now(), "unforeseen_error", 1_000)
        assert [each.event for each in heard] == [doubt, doubt]
