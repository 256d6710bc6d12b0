"""JSON from strangers, read strictly."""

import pytest

from tradewind.core.errors import InvalidInput
from tradewind.signals.strict_json import loads


def test_loads_when_a_text_holds_nul_then_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        loads('{"strategy":"\\u0000x"}')
    assert caught.value.code == "not_text"
