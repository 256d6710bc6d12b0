"""Whose turn it is: a signal waits for those before it that reach an account in common, and for no others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.support.signal_builders import CountingIds, Inbox, add_source, at, signals_db, source

from tradewind.signals.store import CLAIMABLE_MAX


def test_signal_that_fails_holds_back_its_own_source_and_those_it_shares_accounts_with_only(tmp_path: Path) -> None:
    """order-protocol.md section 4: order is kept per account and asset; one source's poison is not another's."""
    with signals_db(tmp_path) as db:
        inbox = Inbox(db, CountingIds("signal"))
        (poison,) = inbox.accept("buy BTCUSDT").ids
        (same,) = inbox.accept("close BTCUSDT", at(1)).ids
        (other,) = inbox.accept("buy BTCUSDT", at(1), source_name="two").ids
        assert inbox.claim(at(1)) is not None
        inbox.fail(poison, "boom", at(1))
        assert inbox.claim(at(1.5)) is None
        claimed = inbox.claim(at(1.5), "b", apart=True)
        assert claimed is not None
        assert claimed.signal.id == other
        # What came after it from its own source waits for it all the same.
        assert inbox.claim(at(1.6), "c", apart=True) is None
        again = inbox.claim(at(2), "d", apart=True)
        assert again is not None
        assert again.signal.id == poison
        inbox.decide(poison, at(2), "d")
        after = inbox.claim(at(2), "e", apart=True)
        assert after is not None
        assert after.signal.id == same


def test_signal_when_more_wait_before_it_than_are_looked_at_together_then_it_has_its_turn_all_the_same(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: what waits in one asset holds up no other, however many sources wait there."""
    with signals_db(tmp_path) as db:
        inbox = Inbox(db, CountingIds("signal"))
        (poison,) = inbox.accept("buy BTCUSDT").ids
        assert inbox.claim(at(1)) is not None
        inbox.fail(poison, "boom", at(1))
        for number in range(2 * CLAIMABLE_MAX):
            name = f"many-{number}"
            db.write_now(partial(add_source, made=source(name), token=f"twh_{number:043d}"))
            inbox.accept("buy BTCUSDT", at(1), source_name=name)
        (close,) = inbox.accept("close ETHUSDT", at(1), source_name="two").ids
        claimed = inbox.claim(at(1.5), "b")
        assert claimed is not None
        assert claimed.signal.id == close
