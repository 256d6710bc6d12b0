"""How far back a restored account is looked at."""

from __future__ import annotations

from tradewind.execution.adoption import days_to_list

DAY_MS = 86_400_000


def test_days_when_the_backup_is_older_than_lists_go_back_then_the_newest_are_listed() -> None:
    """order-protocol.md section 9: what happened last is what is still held."""
    days = days_to_list(7, 7 + 100 * DAY_MS)
    assert len(days) == 31
    assert days[-1] == 7 + 100 * DAY_MS


def test_days_when_the_backup_is_young_then_all_are_listed_and_none_lies_ahead() -> None:
    """order-protocol.md section 9."""
    assert list(days_to_list(7, 7 + DAY_MS + 5)) == [7, 7 + DAY_MS]
    assert list(days_to_list(7, 6)) == []
