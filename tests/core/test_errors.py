"""Errors carry a stable code, a kind and a message."""

from __future__ import annotations

import pytest

from tradewind.core import errors
from tradewind.core.errors import ErrorKind, TradewindError

KINDS = {
    "InvalidInput": "invalid",
    "Unauthenticated": "unauthenticated",
    "Forbidden": "forbidden",
    "NotFound": "not_found",
    "Conflict": "conflict",
    "TooLarge": "too_large",
    "TooMany": "too_many",
    "Unavailable": "unavailable",
    "NotBuilt": "not_built",
    "IllegalTransition": "conflict",
}


@pytest.mark.parametrize("name", KINDS)
def test_error_has_its_kind_code_and_message(name: str) -> None:
    raised = getattr(errors, name)("some_code", "What happened and what to do.", retry_after_s=3)
    assert isinstance(raised, TradewindError)
    assert raised.kind is ErrorKind(KINDS[name])
    assert (raised.code, str(raised), raised.retry_after_s) == ("some_code", "What happened and what to do.", 3)
    assert raised.fields == {}


def test_every_error_class_is_listed_with_its_kind() -> None:
    assert {cls.__name__ for cls in TradewindError.__subclasses__()} == set(KINDS)
    assert {ErrorKind(kind) for kind in KINDS.values()} == set(ErrorKind)
