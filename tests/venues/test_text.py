"""Words of a venue before anything keeps them: no NUL, no control sequence, everything else untouched."""

from __future__ import annotations

import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from tradewind.venues.text import without_controls


@given(st.text(max_size=40))
@example("\x00")
@example("\\u0000")
@example("\\\x00\\")
@example("\x1b[31m red \x9b0m")
def test_text_when_escaped_in_json_then_only_its_control_characters_are_replaced(text: str) -> None:
    encodable = text.encode("utf-8", "replace").decode()
    read: str = msgspec.json.decode(without_controls(json.dumps(encodable).encode()), type=str)
    # \b \t \n \f \r have escapes of their own, which every database and every log takes.
    is_control = [(ch < " " and ch not in "\b\t\n\f\r") or "\x7f" <= ch <= "\x9f" for ch in encodable]
    assert read == "".join("\ufffd" if each else ch for ch, each in zip(encodable, is_control, strict=True))
