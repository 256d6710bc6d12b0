"""A platform whose database another one has taken over: it sends nothing more and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.database import address
from tests.support.platform import open_alert, world

from tradewind.cli.serve import for_people
from tradewind.core.errors import Conflict
from tradewind.execution.owner import Owner, StaleOwner
from tradewind.infra.db import Db


async def test_fault_10_platform_that_wakes_after_a_takeover_then_sends_nothing_and_ends_with_a_sentence(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 8: a paused owner that wakes cannot claim."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        other = Db.open(address(tmp_path / "data" / "tradewind.db", is_migrated=True))
        try:
            other.write_now(Owner().take)
            await place.alert(open_alert())
            (platform,) = [task for task in place._tasks if task.get_name() == "platform"]
            await asyncio.wait({platform}, timeout=20)
            error = platform.exception()
            assert error is not None
            assert isinstance(for_people(error), Conflict)
            assert await place.venue_orders(person.uid) == []
        finally:
            other.close()


def test_for_people_when_the_database_was_taken_over_then_a_sentence() -> None:
    with pytest.raises(Conflict, match="has taken this database over"):
        raise for_people(ExceptionGroup("engine", [ExceptionGroup("worker", [StaleOwner("taken")])]))
