"""Fixtures of the simulator's tests."""

from collections.abc import Iterator

import pytest
from tests.support.exchange import close_exchanges


@pytest.fixture(autouse=True)
def _closed_exchanges() -> Iterator[None]:
    """Close every exchange a test opened through tests.support.exchange."""
    yield
    close_exchanges()
