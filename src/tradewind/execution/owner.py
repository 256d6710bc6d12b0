"""Who may write the journal: the process with the newest owner epoch, and no other (I-11).

A process that starts takes the next epoch; from that commit on every claim, sell and outcome of the one
before it is refused. The check is one read in the transaction itself, under a shared lock on the owner row,
which a takeover locks alone: a transaction of the old owner ends before the takeover or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tradewind.execution import emergency_store
from tradewind.execution.emergency_store import EpochName
from tradewind.infra.db import OwnerLost, Tx

# The latch's reason where the right to write is gone.
OWNER_REPLACED = "owner_replaced"


class StaleOwner(OwnerLost):
    """Another process has taken the journal over: nothing of this transaction may stay; end the process."""


@dataclass(slots=True)
class Owner:
    """This process's right to write. Epoch 0 is that of a journal nobody has taken yet."""

    epoch: int = 0
    # Told at once, on the database's thread, when the right is found to be gone.
    on_stale: Callable[[], None] | None = None

    def take(self, tx: Tx) -> int:
        """Take the journal over: the next epoch is this process's, once the caller has committed."""
        self.epoch = emergency_store.bump(tx, EpochName.OWNER)
        return self.epoch

    def demand(self, tx: Tx) -> None:
        """Hold the right to write until the end of this transaction. Raises StaleOwner."""
        self._compare(emergency_store.share(tx, EpochName.OWNER)[EpochName.OWNER])

    def demand_for_entries(self, tx: Tx) -> None:
        """As `demand`, and hold off every emergency stop until the end of this transaction as well.

        The first thing a claim of entries does: a stop locks its row before it looks at orders, too.
        """
        self._compare(emergency_store.share(tx, EpochName.OWNER, EpochName.STOP)[EpochName.OWNER])

    def _compare(self, current: int) -> None:
        if current == self.epoch:
            return
        if self.on_stale is not None:
            self.on_stale()
        raise StaleOwner(f"Another process has taken the journal over (epoch {current}, ours was {self.epoch})")
