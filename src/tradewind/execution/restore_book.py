"""Which accounts still wait for their reconcile after a backup was put back; kept in memory, read at start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tradewind.core.ids import AccountId
from tradewind.execution import restoring
from tradewind.execution.restoring import Restore
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx


@dataclass(slots=True)
class RestoreBook:
    """Restores of this database, and who has been reconciled after each; those that are over count no more."""

    db: Db
    clock: Clock
    _restores: tuple[Restore, ...] = ()
    _reconciled: dict[str, set[AccountId]] = field(default_factory=dict)

    async def load(self) -> Restore | None:
        """Read what there is; return the newest restore that is not done."""

        def read(tx: Tx) -> tuple[list[Restore], dict[str, set[AccountId]]]:
            found = [each for each in restoring.list_restores(tx) if not each.is_over(self.clock.now())]
            return found, {each.id: restoring.list_reconciled(tx, each.id) for each in found}

        restores, self._reconciled = await self.db.read(read)
        self._restores = tuple(restores)
        undone = [each for each in restores if not each.is_done]
        return undone[-1] if undone else None

    def pending(self, account_id: AccountId) -> Restore | None:
        """Return the oldest restore after which an account was not reconciled; None when there is none."""
        return next((each for each in self._restores if account_id not in self._reconciled[each.id]), None)

    def stands_aside(self, account_id: AccountId) -> bool:
        """Say whether nothing of an account may be sold or protected yet: it may have been done already."""
        return self.pending(account_id) is not None

    async def reconciled(self, account_id: AccountId, known: Iterable[AccountId]) -> None:
        """An account is in order again, after every restore there was; with the last one a restore is over."""
        for each in self._restores:
            self._reconciled[each.id].add(account_id)
        if not any(self.stands_aside(each) for each in known):
            await self.db.write(lambda tx: restoring.close_restores(tx, [each.id for each in self._restores]))
