"""The door of the preview: what would this signal do, without sending."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from tradewind.core.errors import NotFound
from tradewind.core.ids import SignalId, SourceId, UserId
from tradewind.execution.deps import ExecutionDeps
from tradewind.execution.preview import PreviewOut, preview_out
from tradewind.infra.db import Tx
from tradewind.signals import service as signals
from tradewind.signals.by_hand import NewSignal, draft_of
from tradewind.web.principal import Principal, Reader


def add_preview(router: APIRouter, deps: ExecutionDeps) -> None:
    """Add the preview."""

    @router.post("/signals/preview")
    async def preview(body: NewSignal, caller: Reader) -> PreviewOut:
        """Say what a signal would do now, account by account: nothing is stored and nothing is sent.

        Whoever runs the source sees all its accounts, everybody else their own. Sizes, prices and the gate are those
        of this moment; slices of a large fan-out depend on all accounts, so only who runs the source sees them.
        """
        now = deps.clock.now()
        draft = draft_of(body, deps.listings, now)
        scope = await deps.db.read(lambda tx: _scope(tx, deps, SourceId(body.source_id), caller))
        # An id for this look only: no row ever carries it.
        signal = draft.received(SignalId(deps.journal.ids.new()), SourceId(body.source_id), now)
        outlook = await deps.outlooks.of(signal, is_source_bound=scope.is_source_bound, of_user=scope.of_user)
        return preview_out(outlook, now, "ko" if caller.language == "ko" else "en")


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose accounts a preview shows (None: all of the source), and whether alerts bind it to an exchange."""

    of_user: UserId | None
    is_source_bound: bool


def _scope(tx: Tx, deps: ExecutionDeps, source_id: SourceId, caller: Principal) -> _Scope:
    """Find out what the caller may see. Raises NotFound for a source not theirs, Forbidden for one switched off."""
    source = signals.load_source(tx, source_id)
    is_run_by = caller.is_operator or source.owner_id == caller.user_id
    if not is_run_by and all(each.user_id != caller.user_id for each in deps.roster.mandates(tx, source_id)):
        raise NotFound("source_not_found", "This source does not exist or is not yours.")
    signals.demand_enabled(source)
    return _Scope(None if is_run_by else UserId(caller.user_id), source.is_exchange_bound)
