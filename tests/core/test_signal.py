"""Signals: age, and drafts that contradict themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from tests.support.core_builders import BTC, NOW, USDT, D, after, price, signal

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.signal import Action, DraftSignal, SizeKind, age_s, is_stale


@pytest.mark.parametrize(("seconds", "stale"), [(0, False), (59, False), (60, False), (61, True), (3600, True)])
def test_is_stale_when_entry_ages_then_by_its_own_time(seconds: int, stale: bool) -> None:
    entry = signal(alert_at=NOW, received_at=after(1))
    assert is_stale(entry, after(seconds), 60) is stale


def test_is_stale_when_no_alert_time_then_by_arrival() -> None:
    entry = signal(received_at=after(30))
    assert not is_stale(entry, after(90), 60)
    assert is_stale(entry, after(90, ms=1), 60)


def test_is_stale_when_exit_then_never() -> None:
    assert not is_stale(signal(action=Action.CLOSE), after(1_000_000), 60)


def test_is_stale_when_sender_clock_runs_ahead_then_no_time_is_bought() -> None:
    entry = signal(alert_at=after(3600), received_at=NOW)
    assert entry.dated_at == NOW
    assert is_stale(entry, after(61), 60)


def test_age_when_microseconds_then_exact() -> None:
    assert age_s(signal(), NOW + timedelta(microseconds=1)) == Decimal("0.000001")


def test_signal_of_the_whole_balance_is_read() -> None:
    assert signal(size=D(100), size_kind=SizeKind.PERCENT).size == 100


def test_draft_when_received_then_every_field_is_carried() -> None:
    draft = DraftSignal(
        action=Action.OPEN,
        base=BTC,
        quote=USDT,
        exchange="BINANCE",
        symbol_text="BINANCE:BTCUSDT",
        price=price(100),
        stop=price(97),
        targets=(price(103), price(106)),
        size=D("0.5"),
        size_kind=SizeKind.BASE,
        alert_at=NOW,
        strategy="rsi",
    )
    made = draft.received(SignalId("s1"), SourceId("src"), after(1))
    assert (made.id, made.source_id, made.received_at) == ("s1", "src", after(1))
    assert all(getattr(made, name) == getattr(draft, name) for name in DraftSignal.__slots__)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": D(1)}, "size_without_unit"),
        ({"size_kind": SizeKind.BASE}, "size_without_unit"),
        ({"size": D(0), "size_kind": SizeKind.BASE}, "size_not_positive"),
        ({"size": D("NaN"), "size_kind": SizeKind.BASE}, "size_not_positive"),
        ({"size": D(101), "size_kind": SizeKind.PERCENT}, "size_over_100_percent"),
        ({"stop_bps": 0}, "stop_out_of_range"),
        ({"stop_bps": 10_000}, "stop_out_of_range"),
        ({"target_bps": -5}, "target_out_of_range"),
        ({"alert_at": datetime(2026, 1, 1)}, "time_without_zone"),  # noqa: DTZ001 - the naive time is the case
    ],
)
def test_signal_when_parts_contradict_then_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        signal(**changes)
    assert refused.value.code == code


def test_signal_when_received_without_zone_then_value_error() -> None:
    with pytest.raises(ValueError, match="zone"):
        signal(received_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the case
