"""What shows that a database was put back, how often a word of it counts, and when it is over (order-protocol.md 9)."""

from __future__ import annotations

from pathlib import Path

from tests.support.backup import Backup
from tests.support.platform import world
from tests.support.restored import (
    adopted,
    bought_in,
    buys_of,
    is_restore_wanted,
    mark_settled,
    marks_at,
    refusal_of,
    restore_now,
)

from tradewind.core.plan import PlanName
from tradewind.execution import restoring


async def test_fault_70_folder_when_put_back_as_a_whole_then_refused_by_the_mark_outside(tmp_path: Path) -> None:
    """order-protocol.md section 9: a copy of the folder brings its own mark back; the one outside is ahead."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        await mark_settled(place)
        beside, outside = marks_at(place).written
        assert outside.parent == place.settings.kek_file.parent
        backup, mark = Backup.take(place.settings.database_url), beside.read_bytes()
        await bought_in(place)
        await mark_settled(place)
        await place.stop_platform()
        backup.put_back(place.settings.database_url)
        beside.write_bytes(mark)
        assert "a backup was put back" in refusal_of(place)
        assert is_restore_wanted(place)
        restore_now(place)
        # Begun: the same word again does nothing more, and a start without it is not refused.
        assert not is_restore_wanted(place)
        await place.start_platform()
        await adopted(place, person)
        assert len(await place.protected(person)) == 1
        assert len(await buys_of(place, person)) == 1


async def test_after_restore_when_only_a_mark_beside_the_database_says_nothing_is_missing_then_a_word_counts_once(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: nobody can tell a copied folder from none, so a person is believed, one time."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        # Before anything was written there is nothing to restore, whatever the unit says.
        assert not is_restore_wanted(place)
        await place.start_platform()
        await place.link(person)
        await bought_in(place)
        await mark_settled(place)
        await place.stop_platform()
        beside, outside = marks_at(place).written
        assert not is_restore_wanted(place)
        outside.unlink()
        assert is_restore_wanted(place)
        restore_now(place)
        outside.unlink()
        assert not is_restore_wanted(place)
        # A new machine, with a backup and no mark at all.
        beside.unlink()
        assert is_restore_wanted(place)


async def test_restore_when_every_account_is_reconciled_then_done_and_the_next_start_doubts_nothing(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: a restore is over some day, and is not looked at for ever."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await bought_in(place)
        await place.protected(person)
        await place.stop_platform()
        restore_now(place)
        await place.start_platform()
        await adopted(place, person)
        assert place.app is not None

        async def is_done() -> bool:
            assert place.app is not None
            return all(each.is_done for each in await place.app.db.read(restoring.list_restores))

        await place.until(is_done)
        await place.stop_platform()
        await place.start_platform()
        assert await place.app.engine.recovery.restores.load() is None
