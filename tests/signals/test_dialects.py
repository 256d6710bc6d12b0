"""Bodies in, drafts or clear refusals out: the samples and the forms people write."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.support.shared_data import shared_json
from tests.support.signal_builders import NOON, alert, alerts, at, zulu

from tradewind.core.errors import InvalidInput
from tradewind.core.signal import Action, SizeKind

# Per sample: the action (None: refused), or the code of the refusal.
_SAMPLES = {
    "dev01": (Action.OPEN, "BTC"),
    "dev02": "dialect_not_supported",
    "dev03": "dialect_not_supported",
    "dev04": "derivative_symbol",
    "dev05": (Action.OPEN, "XRP"),
    "dev06": "action_missing",
    "dev07": (Action.OPEN, "BTC"),
    "dev08": "unresolved_placeholder",
    "dev09": "malformed_json",
    "dev10": "body_not_readable",
}


def refusal(body: str | dict[str, Any] | list[Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        alerts(body)
    return caught.value


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_sample_when_posted_is_read_or_refused_by_name(name: str) -> None:
    sample = shared_json(f"webhooks/{name}.json")
    expected = _SAMPLES[name]
    if isinstance(expected, str):
        assert refusal(sample["body"]).code == expected
        return
    draft = alert(sample["body"]).draft
    assert (draft.action, draft.base) == expected
    if "quantity" in sample["expect"]:
        assert draft.size == Decimal(sample["expect"]["quantity"])
        assert draft.size_kind is SizeKind.BASE


def test_native_message_when_filled_in_is_read_whole() -> None:
    body = {
        "v": 1,
        "bot": "btc-dca-1",
        "id": "BTCUSDT-60-2026-11-20T12:00:00Z-Long",
        "exchange": "BINANCE",
        "ticker": "BTCUSDT",
        "action": "buy",
        "qty": "0.01",
        "price": "67000.5",
        "position": "long",
        "position_size": "0.01",
        "prev_position": "flat",
        "bar_time": "2026-11-20T11:00:00Z",
        "sent_at": "2026-11-20T12:00:00Z",
    }
    one = alert(body)
    draft = one.draft
    assert one.sender_id == body["id"]
    assert (draft.action, draft.base, draft.quote, draft.exchange) == (Action.OPEN, "BTC", "USDT", "BINANCE")
    assert draft.symbol_text == "BINANCE:BTCUSDT"
    assert draft.price is not None
    assert draft.price.value == Decimal("67000.5")
    assert (draft.size, draft.size_kind) == (Decimal("0.01"), SizeKind.BASE)
    assert draft.alert_at == NOON
    assert draft.strategy == "btc-dca-1"


def test_nested_template_when_posted_reads_strategy_fields() -> None:
    body = {
        "passphrase": "hunter2hunter2",
        "time": zulu(at(-3)),
        "exchange": "UPBIT",
        "ticker": "BTCKRW",
        "bar": {"time": "2026-11-20T11:00:00Z", "open": 1, "close": 95000000},
        "strategy": {
            "order_action": "sell",
            "order_contracts": 1,
            "order_price": 95000000,
            "order_id": "Long",
            "market_position": "flat",
            "prev_market_position": "long",
        },
    }
    one = alert(body)
    assert (one.draft.action, one.draft.base, one.draft.quote) == (Action.CLOSE, "BTC", "KRW")
    assert one.draft.alert_at == at(-3)
    assert one.sender_id is None
    assert "hunter2" not in one.raw


@pytest.mark.parametrize(
    ("text", "action", "base"),
    [
        ("buy BTCUSDT sl=66000 tp=70000", Action.OPEN, "BTC"),
        ("BINANCE:BTCUSDT close", Action.CLOSE, "BTC"),
        ("BTCUSDT buy @ 67000", Action.OPEN, "BTC"),
        ("KRW-ETH buy", Action.OPEN, "ETH"),
        ("exit long ETHUSDT", Action.CLOSE, "ETH"),
        ("Close-Long ETH/USDT", Action.CLOSE, "ETH"),
        ("  BUY   sol/usdt  ", Action.OPEN, "SOL"),
        ("secret-word\nbuy BTCUSDT\nsl: 66000", Action.OPEN, "BTC"),
        ("sell btc", Action.CLOSE, "BTC"),
        ("MACD (12, 26, 9): order buy @ 0.1 filled on BTCUSDT. New strategy position is 0.1", Action.OPEN, "BTC"),
        ("X: order sell @ 0.1 filled on BINANCE:BTCUSDT. New strategy position is 0", Action.CLOSE, "BTC"),
        ("X: order sell @ 0.2 filled on BTCUSDT. New strategy position is -0.1", Action.CLOSE, "BTC"),
    ],
)
def test_text_command_when_posted_is_understood(text: str, action: Action, base: str) -> None:
    draft = alert(text).draft
    assert (draft.action, draft.base) == (action, base)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("do not buy BTCUSDT", "unknown_word", "do not"),
        ("BTCUSDT Crossing 67,000.00", "action_missing", "Crossing"),
        ("buy", "symbol_missing", "buy"),
        ("buy sell BTCUSDT", "action_not_supported", "buy sell"),
        ("buy BTCUSDT leverage=20", "unknown_word", "leverage=20"),
        ("buy BTCUSDT sl=66000 sl=65000", "ambiguous_field", "65000"),
        ("buy BTCUSDT sl=6x6", "not_a_number", "6x6"),
        ("short BTCUSDT", "short_not_supported", "spot only"),
        ("buy BTCUSDT.P", "derivative_symbol", "Send BTCUSDT"),
        ("buy BTCUSDT tp={{plot_0}}", "unresolved_placeholder", "{{plot_0}}"),
        ("X: order sell @ 0.1 filled on BTCUSDT. New strategy position is -0.1", "short_not_supported", "flat"),
        ("X: order buy @ 0.1 filled on BTCUSDT. New strategy position is 0", "short_not_supported", "covers"),
        ("X: order sell @ 0.1 filled on BTCUSDT. New strategy position is 0.1", "partial_close_not_supported", "part"),
        ("ENTER-LONG_Binance_BTCUSDT_bot_15M_0123456789abcdef01234567", "dialect_not_supported", "WunderTrading"),
        ("MyKeys(BTCUSDT) { market(side=buy, amount=1); }\n#bot", "dialect_not_supported", "Alertatron"),
    ],
)
def test_text_that_cannot_be_obeyed_when_posted_is_refused_with_its_part(text: str, code: str, named: str) -> None:
    error = refusal(text)
    assert error.code == code
    assert named in error.message


@pytest.mark.parametrize(
    ("body", "service"),
    [
        ({"message_type": "bot", "bot_id": 1, "email_token": "x"}, "3Commas"),
        ({"secret": "x", "bot_uuid": "y", "action": "buy", "tv_instrument": "BTCUSDT"}, "3Commas"),
        ({"code": "ENTER-LONG_Bybit_BTCUSDT_b_15M_0123"}, "WunderTrading"),
        ({"code": "TV-STRATEGY_Binance_BTCUSDT_b_15M_0123", "action": "buy"}, "WunderTrading"),
        ({"pair": "BTC/USDT", "side": "long"}, "freqtrade"),
        ({"ticker": "BTCUSDT", "action": "buy", "signalPrice": 1}, "TradersPost"),
        ({"api_key": "k", "api_secret": "s", "action": "open", "symbol": "BINA_USDT_BTC"}, "Altrady"),
        ({"uuid": "00000000-0000-4000-8000-000000000003", "action": "open", "symbol": "BTC/USDT"}, "Cornix"),
        ({"action": "buy", "market": "BTC", "exchange": "binance"}, "Cryptohopper"),
    ],
)
def test_dialect_of_another_service_when_posted_is_refused_by_name(body: dict[str, Any], service: str) -> None:
    error = refusal(body)
    assert error.code == "dialect_not_supported"
    assert service in error.message


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"sl": None}, "not_a_number"),
        ({"sl": "NaN"}, "not_a_number"),
        ({"sl": True}, "not_a_number"),
        ({"sl": "66000", "stop": "65000"}, "ambiguous_field"),
        ({"sl": 68000, "price": 67000}, "stop_above_price"),
        ({"tp": 66000, "price": 67000}, "target_below_price"),
        ({"sl": 70000, "tp": 69000}, "stop_above_target"),
        ({"price": 0}, "price_not_positive"),
        ({"price": -1}, "price_not_positive"),
        ({"price": "67.000,5"}, "not_a_number"),
        ({"price": "1e400"}, "number_too_large"),
        ({"qty": "0"}, "size_not_positive"),
        ({"qty": 1, "percent": 5}, "ambiguous_field"),
        ({"percent": 150}, "size_over_100_percent"),
        ({"tp": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}, "too_many_targets"),
        ({"tp": [{"size": 1}]}, "bad_target"),
        ({"sent_at": "yesterday"}, "bad_time"),
        ({"sent_at": "99999-01-01"}, "bad_time"),
        ({"id": "x" * 151}, "text_too_long"),
        ({"id": "{{ticker}}-{{timenow}}"}, "unresolved_placeholder"),
        ({"exchange": "my exchange!"}, "bad_exchange"),
        ({"heartbeat": True}, "not_an_order"),
    ],
)
def test_entry_with_a_field_that_cannot_be_obeyed_is_refused(extra: dict[str, Any], code: str) -> None:
    assert refusal({"action": "buy", "ticker": "BTCUSDT", **extra}).code == code


@pytest.mark.parametrize(
    "extra",
    [
        {"sl": None},
        {"sl": "NaN", "tp": "{{plot_1}}"},
        {"price": "{{close}}"},
        {"qty": "0"},
        {"sent_at": "yesterday"},
        {"id": "{{strategy.order.id}}"},
        {"stopLoss": 1, "stop_loss": 2},
    ],
)
def test_close_with_nonsense_in_a_field_it_does_not_need_is_accepted(extra: dict[str, Any]) -> None:
    one = alert({"action": "close", "ticker": "BTCUSDT", **extra})
    assert one.draft.action is Action.CLOSE
    assert one.draft.stop is None
    assert one.draft.targets == ()
    assert one.sender_id is None


def test_levels_when_written_in_the_usual_ways_are_read() -> None:
    one = alert(
        {"action": "buy", "ticker": "BTCUSDT", "price": "67,000.00", "stopLoss": "66000", "tp2": 71000, "tp1": 70000}
    )
    assert one.draft.price is not None
    assert one.draft.price.value == 67000
    assert one.draft.stop is not None
    assert one.draft.stop.value == 66000
    assert [target.value for target in one.draft.targets] == [70000, 71000]
    percent = alert(
        {"action": "buy", "ticker": "BTCUSDT", "stop_loss": {"percent": 2.5}, "takeProfit": "4%", "qty": "5%"}
    )
    assert (percent.draft.stop_bps, percent.draft.target_bps) == (250, 400)
    assert (percent.draft.size, percent.draft.size_kind) == (Decimal(5), SizeKind.PERCENT)
    quote = alert({"action": "buy", "ticker": "BTCUSDT", "quote_amount": "100", "targets": [{"price": "3"}, 2]})
    assert (quote.draft.size, quote.draft.size_kind) == (Decimal(100), SizeKind.QUOTE)
    assert [target.value for target in quote.draft.targets] == [2, 3]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sent_at": zulu(at(-5))}, at(-5)),
        ({"timenow": "2026-11-20T12:00:00+09:00"}, at(-9 * 3600)),
        ({"sent_at": 1795176000}, NOON),
        ({"sent_at": "1795176000123"}, at(0.123)),
        ({"time": zulu(at(-120))}, at(-120)),
        # With an interval a whole minute is the bar's opening: sent by the bar's end at the latest.
        ({"time": zulu(at(-3600)), "interval": "60"}, NOON),
        ({"time": zulu(at(-1800)), "interval": "60"}, None),
        ({"time": zulu(at(-7200)), "interval": "1H"}, at(-3600)),
        ({"time": zulu(at(-86400)), "interval": "D"}, NOON),
        ({"time": zulu(at(-5)), "interval": "60"}, at(-5)),
        ({"sent_at": zulu(at(-5)), "time": zulu(at(-3600))}, at(-5)),
        ({"bar_time": zulu(at(-3600))}, None),
        ({"sent_at": ""}, None),
    ],
)
def test_time_of_an_alert_when_written_is_its_own(fields: dict[str, Any], expected: object) -> None:
    assert alert({"action": "buy", "ticker": "BTCUSDT", **fields}).draft.alert_at == expected


def test_fault_15_array_when_posted_keeps_order_and_tells_equal_messages_apart() -> None:
    close, open_ = {"action": "close", "ticker": "BTCUSDT"}, {"action": "buy", "ticker": "ETHUSDT"}
    parsed = alerts([close, open_, open_])
    assert [one.draft.action for one in parsed] == [Action.CLOSE, Action.OPEN, Action.OPEN]
    assert len({one.body_hash for one in parsed}) == 3


def test_array_with_one_bad_message_when_posted_is_refused_whole_and_names_it() -> None:
    error = refusal([{"action": "close", "ticker": "BTCUSDT"}, {"action": "buy", "ticker": "BTCUSDT.P"}])
    assert error.code == "derivative_symbol"
    assert error.message.startswith("Message 2 of 2")
    assert refusal([]).code == "array_out_of_bounds"
    assert refusal([1]).code == "not_an_alert"
    same_id = {"action": "buy", "ticker": "BTCUSDT", "id": "a"}
    assert refusal([same_id, same_id]).code == "id_repeated"


def test_several_commands_in_one_text_are_read_in_order() -> None:
    parsed = alerts("sell BTCUSDT\nbuy ETHUSDT sl=2%")
    assert [(one.draft.action, one.draft.base) for one in parsed] == [(Action.CLOSE, "BTC"), (Action.OPEN, "ETH")]


def test_fault_14_body_when_spaces_or_key_order_differ_is_the_same_body() -> None:
    one = alert('{"action": "buy", "ticker": "BTCUSDT"}')
    other = alert('\ufeff {"ticker":"BTCUSDT",\n "action":"buy"} ')
    assert one.body_hash == other.body_hash
    assert one.body_hash != alert('{"action": "sell", "ticker": "BTCUSDT"}').body_hash


@pytest.mark.parametrize(
    "name", ["email_token", "secret", "apiKey", "api_secret", "password", "passphrase", "key", "code"]
)
def test_secret_of_another_service_when_sent_is_not_kept(name: str) -> None:
    one = alert({"action": "buy", "ticker": "BTCUSDT", name: "s3cr3t-value", "nested": {name: "s3cr3t-value"}})
    assert "s3cr3t-value" not in one.raw
    assert "BTCUSDT" in one.raw
