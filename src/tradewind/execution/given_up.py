"""What people are told of what was given up: closes that no account got, mandates nobody can read."""

from __future__ import annotations

from datetime import datetime

from tradewind.core.skip import SkipReason
from tradewind.execution.incidents import tell_of_account
from tradewind.execution.outlook import Outlook
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.portfolio.service import open_lots
from tradewind.signals.service import GivenUp


def tell_given_up(tx: Tx, ids: Ids, signal: GivenUp, now: datetime) -> None:
    """A close given up for good is an incident of every account it was to reach (order-protocol.md section 4)."""
    if not signal.may_close:
        return
    lots = open_lots(tx, source_id=signal.source_id, base=signal.base)
    detail = {"signal_id": signal.id, "base": signal.base, "reason": signal.reason}
    for owner in sorted({(each.user_id, each.lot.account_id) for each in lots}):
        tell_of_account(tx, ids, owner, "close_given_up", detail, now)


def tell_damaged(tx: Tx, ids: Ids, outlook: Outlook, now: datetime) -> None:
    """Whose mandate cannot be read is told so, with the signal they did not get."""
    for each in outlook.decided:
        if each.decision["reason"] == SkipReason.MANDATE_DAMAGED.value:
            detail = {"signal_id": outlook.signal.id, "mandate_id": str(each.decision["mandate_id"])}
            owner = (each.decision["user_id"], each.account_id)
            tell_of_account(tx, ids, owner, "mandate_damaged", detail, now)
