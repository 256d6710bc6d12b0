"""The latch: the last look before a byte leaves this process.

It closes for good when this process can no longer trust its own record (a COMMIT in doubt, another owner)
and when it shuts down. It closes by scope for entries alone: at once when a stop is asked for, before the
commit; while a stop file lies there; and as long as the database says so. Whatever was claimed and not yet
written becomes NotSent. The latch only makes a stop quick: the claim in the database is what proves it
(order-protocol.md section 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tradewind.core.order import GateKind, Order
from tradewind.execution.emergency_store import Scope
from tradewind.execution.stops import scopes_of_order


@dataclass(slots=True)
class Latch:
    """Whether this process may send, and what. Changed on the event loop; `close` from anywhere."""

    reason: str | None = None
    # Entries wait: an exit that fired while the database was away goes first.
    is_held: bool = False
    # The stop epoch of the database that `_stored` was read under.
    epoch: int = -1
    _stored: frozenset[Scope] = frozenset()
    _filed: frozenset[Scope] = frozenset()
    # Asked for in this process and not yet seen in the database; several may ask for the same.
    _asked: dict[Scope, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """True while nothing has closed it for good."""
        return self.reason is None

    def close(self, reason: str) -> None:
        """Send nothing more; the first reason stays."""
        if self.reason is None:
            self.reason = reason

    def ask(self, scope: Scope) -> None:
        """Close a scope now, before the stop is on disk."""
        self._asked[scope] = self._asked.get(scope, 0) + 1

    def answer(self, scope: Scope) -> None:
        """The stop that was asked for is on disk, in the database or in the file, or was refused."""
        left = self._asked.pop(scope, 0) - 1
        if left > 0:
            self._asked[scope] = left

    def set_filed(self, scopes: Iterable[Scope]) -> None:
        """Take what the stop file says; nothing once the file is gone."""
        self._filed = frozenset(scopes)

    def set_stored(self, scopes: Iterable[Scope], epoch: int) -> None:
        """Take what the database says under a stop epoch; an older reading changes nothing."""
        if epoch >= self.epoch:
            self.epoch, self._stored = epoch, frozenset(scopes)

    @property
    def closed_scopes(self) -> frozenset[Scope]:
        return self._stored | self._filed | self._asked.keys()

    def stops(self, order: Order) -> bool:
        """Say whether an emergency stop keeps this order from leaving; exits and protection never."""
        if order.gate_kind is not GateKind.ENTRY or not (self._stored or self._filed or self._asked):
            return False
        return not self.closed_scopes.isdisjoint(scopes_of_order(order))

    def lets_pass(self, order: Order) -> bool:
        """The last look: say whether this order may be signed and written now."""
        return self.reason is None and not self.stops(order)
