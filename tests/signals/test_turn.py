"""Whose turn it is: a signal waits for those before it that reach an account in common, and for no others."""

from __future__ import annotations

from pathlib import Path

from tests.support.signal_builders import CountingIds, Inbox, at, signals_db


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
