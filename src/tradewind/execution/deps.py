"""What the doors of execution stand on; wired by app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.execution.board import FanBoards
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.hand import HandDesk
from tradewind.execution.journal import Journal
from tradewind.execution.outlook import OutlookDesk
from tradewind.execution.protect import Protector
from tradewind.execution.recorder import Recorder
from tradewind.execution.recovery import Recovery
from tradewind.execution.retry import RetryDesk
from tradewind.execution.roster import Roster
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.signals.webhook import Listings
from tradewind.web.principal import Principal


@dataclass(slots=True)
class ExecutionDeps:
    """What the routes need."""

    db: Db
    clock: Clock
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    boards: FanBoards
    hand: HandDesk
    recovery: Recovery
    retries: RetryDesk
    roster: Roster
    # The accounts of a user, and a fresh price before an order by hand; wired by app.
    own_accounts: Callable[[Tx, UserId], Sequence[AccountId]]
    confirm: Callable[[VenueName, Environment, Sequence[str]], Awaitable[None]]
    demand_signal_visible: Callable[[Tx, Principal, str], None]
    outlooks: OutlookDesk
    listings: Listings
