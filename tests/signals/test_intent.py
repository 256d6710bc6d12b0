"""The table of what a word and two positions mean on spot."""

from __future__ import annotations

from typing import Any

import pytest

from tradewind.core.errors import InvalidInput
from tradewind.core.signal import Action
from tradewind.signals.fields import Fields
from tradewind.signals.intent import WORDS, Word, read_action

OPEN, CLOSE = Action.OPEN, Action.CLOSE
SHORT, PARTIAL, UNCLEAR = "short_not_supported", "partial_close_not_supported", "position_unclear"


def intent(**fields: Any) -> Action | str:
    try:
        return read_action(Fields(fields))
    except InvalidInput as error:
        return error.code


@pytest.mark.parametrize(
    ("word", "before", "now", "expected"),
    [
        ("buy", None, None, OPEN),
        ("buy", "flat", "long", OPEN),
        ("buy", "flat", None, OPEN),
        ("buy", "long", "long", OPEN),
        ("buy", "short", "long", OPEN),
        ("buy", None, "long", OPEN),
        ("buy", "short", "flat", SHORT),
        ("buy", None, "flat", SHORT),
        ("buy", "short", "short", SHORT),
        ("buy", "short", None, UNCLEAR),
        ("sell", None, None, CLOSE),
        ("sell", "long", "flat", CLOSE),
        ("sell", "long", None, CLOSE),
        ("sell", None, "flat", CLOSE),
        ("sell", "long", "short", CLOSE),
        ("sell", None, "short", CLOSE),
        ("sell", "flat", "short", SHORT),
        ("sell", "flat", None, SHORT),
        ("sell", "short", "short", SHORT),
        ("sell", "long", "long", PARTIAL),
        ("long", "flat", "long", OPEN),
        ("long", None, "short", SHORT),
        ("enter_long", None, "flat", "contradictory_alert"),
        ("close", "long", "long", CLOSE),
        ("exit", "short", "flat", CLOSE),
        ("short", None, None, SHORT),
        ("exit_short", "short", "flat", SHORT),
        ("hold", None, None, "action_not_supported"),
        (None, "flat", "long", OPEN),
        (None, None, "long", OPEN),
        (None, "long", "flat", CLOSE),
        (None, "long", "short", CLOSE),
        (None, "flat", "short", SHORT),
        (None, "long", "long", "action_missing"),
        (None, None, None, "action_missing"),
    ],
)
def test_action_by_word_and_positions_is_what_spot_can_do(
    word: str | None, before: str | None, now: str | None, expected: Action | str
) -> None:
    fields = {"action": word, "prev_market_position": before, "market_position": now}
    assert intent(**{name: value for name, value in fields.items() if value is not None}) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"side": "buy"}, OPEN),
        ({"side": "long", "action": "buy"}, OPEN),
        ({"action": "open", "side": "short"}, SHORT),
        ({"action": "open", "side": "sell"}, SHORT),
        ({"action": "close", "side": "long"}, CLOSE),
        ({"action": "close", "side": "sell"}, CLOSE),
        ({"action": "close", "side": "short"}, SHORT),
        ({"action": "buy", "side": "short"}, SHORT),
        ({"action": "sell", "position_size": 0}, CLOSE),
        ({"action": "sell", "position_size": "-1", "prev_position_size": "0"}, SHORT),
        ({"action": "buy", "position_size": "0.5", "prev_position_size": "0"}, OPEN),
        ({"action": "buy", "position": "0"}, SHORT),
        ({"action": "buy", "position": "0.5"}, OPEN),
        ({"action": "sell", "market_position_size": "0"}, CLOSE),
        ({"action": "sell", "market_position_size": "0.5"}, CLOSE),
        ({"strategy": {"order_action": "sell", "market_position": "flat"}}, CLOSE),
        ({"data": {"strategy-order-action": "buy"}}, OPEN),
        ({"action": "Exit Long"}, CLOSE),
        ({"action": ["buy"]}, "wrong_type"),
        ({"action": "buy", "position": "sideways"}, "not_a_number"),
    ],
)
def test_action_when_spelt_in_other_fields_is_found(fields: dict[str, Any], expected: Action | str) -> None:
    assert intent(**fields) == expected


def test_words_when_about_shorts_never_open_or_close() -> None:
    for word, meaning in WORDS.items():
        if meaning is Word.SHORT:
            assert intent(action=word) == SHORT
        if "short" in word or "cover" in word:
            assert meaning is Word.SHORT
