"""Bodies that mean harm, or nothing: refused by name, quickly, and never by an error of ours."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.signal_builders import NOON

from tradewind.core.errors import InvalidInput, TradewindError
from tradewind.signals.dialects import parse
from tradewind.signals.service import Alert

# A slow machine is no finding.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\xff\xfe", "body_not_readable"),
        (b"   ", "body_not_readable"),
        (b'{"action":"buy","action":"sell","ticker":"BTCUSDT"}', "duplicate_key"),
        (b'{"action":"buy","ticker":"BTCUSDT","price":NaN}', "not_a_number"),
        (b'{"action":"buy","ticker":"BTCUSDT","price":-Infinity}', "not_a_number"),
        (b'{"action":"buy","ticker":"BTCUSDT","n":9007199254740993}', "number_too_large"),
        (b'{"action":"buy","ticker":"BTCUSDT","n":' + b"9" * 5_000 + b"}", "number_too_large"),
        (b'{"action":"buy","ticker":"BTCUSDT","n":1e400}', "number_too_large"),
        (b'{"action":"buy","ticker":"BTCUSDT","n":"\\ud800"}', "not_text"),
        (b"[" * 100_000, "json_too_deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "json_too_deep"),
        ('{"action":"buy","ticker":"BTC\u200bUSDT"}'.encode(), "not_text"),
        ('{"action":"buy","ticker":"ＢТＣUSDT"}'.encode(), "symbol_not_ascii"),
        (b'{"action":"buy","ticker":"\\u0000BTC"}', "not_text"),
        (b"close BTCUSDT tp=\x00", "not_text"),
        (b'{"action":"buy"', "malformed_json"),
        (b'{"action":"buy"} trailing', "malformed_json"),
    ],
)
def test_fault_20_hostile_body_when_posted_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(raw, NOON)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 65_536,
        b"order buy @ " * 5_000,
        b"A" * 30_000 + b"(B) " * 8_000,
        b"w" * 60_000 + b" buy BTC",
        b"a " * 32_000,
        b'{"action":"buy","ticker":"BTC","price":"' + b"1,111" * 12_000 + b'"}',
        b'{"action":"' + b"{{x" * 20_000 + b'"}',
        b'{"action":"buy","ticker":"BTC",' + b",".join(b'"k%d":1' % n for n in range(6_000)) + b"}",
    ],
)
def test_long_body_when_parsed_does_not_hold_up_the_others(body: bytes) -> None:
    # Processor time, so that a busy machine does not fail it; a search gone quadratic takes many seconds.
    start = time.process_time()
    _parse_or_refuse(body)
    assert time.process_time() - start < 1


def _parse_or_refuse(raw: bytes) -> list[Alert] | str:
    try:
        return parse(raw, NOON)
    except TradewindError as error:
        return f"{error.code}: {error.message}"


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["buy", "sell", "BTCUSDT", "{{close}}", "1,000.5", "NaN", "5%", "long", "flat", "2026-11-20T12:00:00Z", "1e31"]
    )
)
_NAMES = (
    st.sampled_from(
        ["action", "side", "ticker", "symbol", "exchange", "price", "sl", "stopLoss", "tp", "targets", "tp1"]
    )
    | st.sampled_from(["qty", "percent", "id", "sent_at", "time", "interval", "strategy", "data", "bar", "heartbeat"])
    | st.sampled_from(["market_position", "prev_position", "position_size"])
    | st.text(max_size=10)
)
_BODIES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=6), max_leaves=20
)


@UNHURRIED
@given(st.binary(max_size=300))
def test_any_bytes_when_parsed_raise_nothing_unexpected(raw: bytes) -> None:
    _parse_or_refuse(raw)


@UNHURRIED
@given(st.text(max_size=200))
@example("buy BTCUSDT @ 1e999999")
@example("buy BTCUSDT q=1e31")
@example("a: order buy @ 1 filled on BTCUSDT. New strategy position is " + "9" * 60)
def test_any_text_when_parsed_raises_nothing_unexpected(text: str) -> None:
    _parse_or_refuse(text.encode("utf-8", "surrogatepass"))


@UNHURRIED
@given(st.dictionaries(_NAMES, _BODIES, max_size=8))
def test_any_object_when_parsed_is_read_the_same_twice(body: dict[str, Any]) -> None:
    raw = json.dumps({"action": "buy", "ticker": "BTCUSDT", **body}).encode()
    first, second = _parse_or_refuse(raw), _parse_or_refuse(raw)
    assert first == second
    for one in first if isinstance(first, list) else ():
        # What was accepted can be stored: everything kept is text a database takes.
        kept = (one.raw, one.draft.symbol_text, one.sender_id, one.draft.strategy, one.draft.exchange)
        assert all("\x00" not in text and text.encode("utf-8") for text in kept if text)
