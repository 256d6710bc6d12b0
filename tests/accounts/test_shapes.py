"""What a key looks like, before the venue is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.accounts.shapes import checked_pair
from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import BINANCE, VenueName

_KEY = "k" * 63 + "1"
_SECRET = "s" * 63 + "2"
_PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        (_KEY, _SECRET),
        (f"  {_KEY}\n", f"\t{_SECRET} "),
        (f"\u200b{_KEY}\ufeff", f"\u00a0{_SECRET}\r\n"),
        (_KEY, _PEM),
        (_KEY, f"\n{_PEM}\n"),
    ],
)
def test_pair_when_it_is_as_the_venue_issues_it_then_is_trimmed_and_taken(key: str, secret: str) -> None:
    pair = checked_pair(BINANCE, key, secret)
    assert pair.warnings == ()
    assert pair.api_key.reveal_text() == _KEY
    assert pair.api_secret.reveal_text() in (_SECRET, _PEM)


@pytest.mark.parametrize(
    ("key", "secret", "warnings"),
    [
        ("k" * 40, _SECRET, 1),
        ("k" * 40, "s" * 80, 2),
        ("k" * 63 + "-", _SECRET, 1),
        ("k" * 70, _PEM, 1),
    ],
)
def test_pair_when_it_is_unusual_then_is_warned_about_and_taken(key: str, secret: str, warnings: int) -> None:
    pair = checked_pair(BINANCE, key, secret)
    assert len(pair.warnings) == warnings


@pytest.mark.parametrize(
    ("key", "secret", "field"),
    [
        ("", _SECRET, "api_key"),
        ("   ", _SECRET, "api_key"),
        (_KEY, "", "api_secret"),
        ("k" * 15, _SECRET, "api_key"),
        (_KEY, "s" * 15, "api_secret"),
        ("k" * 257, _SECRET, "api_key"),
        (_KEY, "s" * 9_000, "api_secret"),
        ("k" * 30 + " " + "k" * 33, _SECRET, "api_key"),
        (_KEY, "s" * 30 + "\n" + "s" * 33, "api_secret"),
        ("k" * 63 + "é", _SECRET, "api_key"),
        (_KEY, "ｓ" * 64, "api_secret"),
        (_KEY, "s" * 63 + "\x00", "api_secret"),
        (_KEY, _KEY, "api_secret"),
        (_PEM, _SECRET, "api_key"),
        (_KEY, _PEM[:40], "api_secret"),
        (_KEY, _PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"), "api_secret"),
        (_KEY, _PEM.replace("PRIVATE", "PUBLIC"), "api_secret"),
        (_KEY, "junk " + _PEM, "api_secret"),
    ],
)
def test_pair_when_it_cannot_be_a_key_then_is_refused_naming_the_field_and_not_quoting(
    key: str, secret: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_pair(BINANCE, key, secret)
    assert caught.value.code == "key_malformed"
    assert set(caught.value.fields) == {field}
    for text in (key.strip(), secret.strip()):
        assert not text or text not in caught.value.message


def test_pair_when_the_venue_has_no_usual_form_here_then_only_the_impossible_is_refused() -> None:
    assert checked_pair(VenueName("elsewhere"), "k" * 20, "s-_+/=" * 5).warnings == ()


@given(st.text(max_size=300), st.text(max_size=300))
def test_pair_when_the_texts_are_any_then_are_taken_or_refused_without_quoting(key: str, secret: str) -> None:
    try:
        pair = checked_pair(BINANCE, key, secret)
    except InvalidInput as error:
        message = error.message
    else:
        message = " ".join(pair.warnings)
    for text in (key.strip(), secret.strip()):
        assert len(text) < 16 or text not in message
