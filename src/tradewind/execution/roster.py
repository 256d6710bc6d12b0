"""Whom a signal concerns: accounts with what the decision and the gate need to know of them.

One read for a whole signal. The claim reads the gate's part of it again, under lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tradewind.core.gate import GateInputs
from tradewind.core.ids import AccountId, SourceId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.mandate import Mandate
from tradewind.core.money import Asset
from tradewind.core.plan import Plan
from tradewind.core.risk import Caps
from tradewind.infra.db import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What is known of an account apart from its exposure."""

    account_id: AccountId
    user_id: UserId
    label: str
    venue: VenueName
    environment: Environment
    plan: Plan
    gate: GateInputs
    caps: Caps
    quote: Asset | None = None
    is_stand_in: bool = False
    preferred_venue: VenueName | None = None
    # The stop epoch under which these facts were read.
    stop_epoch: int = 0


class Roster(Protocol):
    """Where the facts come from; wired by app over accounts, identity, billing and market."""

    def mandates(self, tx: Tx, source_id: SourceId) -> Sequence[Mandate]:
        """Return all mandates on a source, switched off or not."""
        ...

    def facts(self, tx: Tx, account_ids: Sequence[AccountId], now: datetime) -> Mapping[AccountId, AccountFacts]:
        """Return the facts of these accounts; an account that is gone is missing."""
        ...
