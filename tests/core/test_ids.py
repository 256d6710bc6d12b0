"""Client order ids: derived, stable, recognisable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.core.ids import AccountId, IntentId, client_order_id, is_ours

parts = st.text(alphabet="abc-019", min_size=1, max_size=8)


@given(parts, parts, st.sampled_from(["entry", "exit", "stop", "target", "test"]), st.integers(0, 50))
def test_client_order_id_for_any_intent_is_28_characters_of_ours(a: str, b: str, leg: str, generation: int) -> None:
    made = client_order_id(IntentId(a), AccountId(b), leg, generation)
    assert re.fullmatch(r"tw[a-z2-7]{26}", made)
    assert is_ours(made)
    assert made == client_order_id(IntentId(a), AccountId(b), leg, generation)


def test_client_order_id_when_any_input_differs_then_differs() -> None:
    """order-protocol.md section 1."""
    made = {
        client_order_id(IntentId(intent), AccountId(account), leg, generation)
        for intent in ("i1", "i2")
        for account in ("a1", "a2")
        for leg in ("entry", "exit")
        for generation in (0, 1)
    }
    assert len(made) == 16


def test_client_order_id_when_parts_shift_between_fields_then_differs() -> None:
    assert client_order_id(IntentId("ab"), AccountId("c"), "entry", 0) != client_order_id(
        IntentId("a"), AccountId("bc"), "entry", 0
    )


def test_client_order_id_when_generation_negative_then_refused() -> None:
    with pytest.raises(ValueError, match="generation"):
        client_order_id(IntentId("i"), AccountId("a"), "entry", -1)


@pytest.mark.parametrize(
    "text", ["", "tw", "tw" + "a" * 25, "tw" + "a" * 27, "tw" + "A" * 26, "tw" + "1" * 26, "x-tw" + "a" * 24]
)
def test_is_ours_when_form_differs_then_false(text: str) -> None:
    assert not is_ours(text)
