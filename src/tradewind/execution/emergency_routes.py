"""The doors of the emergency stop: stop, resume, how it stands.

Stopping is easy: the right to trade is enough, and it is never counted against a limit. Starting is
deliberate: a resume asks for the password again, so an API token alone cannot do it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from tradewind.core.errors import Forbidden, InvalidInput, NotFound, Unavailable
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import VenueName
from tradewind.execution import emergency_store
from tradewind.execution.emergency import Stopped, StopRequest
from tradewind.execution.emergency_desk import EmergencyDesk
from tradewind.execution.emergency_shown import (
    EmergencyOut,
    ProgressOut,
    ResumeBody,
    ScopeBody,
    StopBody,
    StopDoneOut,
    StopOut,
    filed_out,
    stop_done_out,
    stop_out,
)
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind, StopRow
from tradewind.execution.flatten import in_doubt, read_scene
from tradewind.execution.stops import scopes_of
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.vault.secret import Secret
from tradewind.web.idempotency import Answer, OnceKey, RequestKey, once_in_tx
from tradewind.web.principal import Principal, Reader, Trader, authenticate
from tradewind.web.principal import Scope as Right

_FLATTEN_WORD = "FLATTEN"
# Whoever presses stop is told within this time, done or not.
_KNOWN_S = 4.0
_STOPPED: dict[int | str, dict[str, Any]] = {
    200: {"model": StopDoneOut, "description": "stopped and recorded"},
    202: {"model": StopDoneOut, "description": "stopped; recorded when the database is back"},
}
_RESUMED: dict[int | str, dict[str, Any]] = {200: {"model": StopOut, "description": "the scope, open again"}}


@dataclass(slots=True)
class EmergencyDeps:
    """What the routes need."""

    db: Db
    clock: Clock
    desk: EmergencyDesk
    # A user's accounts with their venues; which users and accounts there are; the venues served.
    own_accounts: Callable[[Tx, UserId], Sequence[tuple[VenueName, AccountId]]]
    is_known: Callable[[Tx, Scope], bool]
    # Demands the caller's password; raises Forbidden.
    step_up: Callable[[UserId, Secret], Awaitable[None]]


async def _stopper(request: Request) -> Principal:
    """Whoever may trade may stop, however many requests they have made this hour."""
    try:
        async with asyncio.timeout(_KNOWN_S):
            caller = await authenticate(request)
    except TimeoutError:
        raise Unavailable(
            "database_away",
            "The database does not answer, so nobody can be told apart here. Nothing is sent while it is away. To make "
            "sure that it stays so, stop at the machine: tradewind emergency stop",
        ) from None
    if Right.TRADE not in caller.scopes:
        raise Forbidden("scope_missing", "This needs the scope 'trade', which the caller does not have.")
    return caller


Stopper = Annotated[Principal, Depends(_stopper)]


def build_router(deps: EmergencyDeps) -> APIRouter:
    """Build the routes of the emergency stop."""
    router = APIRouter(prefix="/emergency", tags=["emergency"])
    _add_stop(router, deps)
    _add_resume(router, deps)

    @router.get("")
    async def show(caller: Reader) -> EmergencyOut:
        """Show every stop that concerns the caller; all of them for operators."""
        items = await deps.db.read(lambda tx: _items(tx, deps, caller))
        closed = deps.desk.latch.closed_scopes
        concern = await deps.db.read(lambda tx: _concern(tx, deps, caller))
        is_latched = bool(closed) if concern is None else not closed.isdisjoint(concern)
        return EmergencyOut(
            is_stopped=is_latched or any(item.is_stopped for item in items),
            has_stop_file=bool(deps.desk.filed),
            items=items,
            timestamp=deps.clock.now(),
        )

    return router


def _add_stop(router: APIRouter, deps: EmergencyDeps) -> None:
    @router.post("/stop", response_class=Response, responses=_STOPPED)
    async def stop(body: StopBody, caller: Stopper, key: OnceKey) -> Response:
        """Stop entries at once: of the caller, or for operators of a user, a venue, the platform.

        Stops and targets stay in place; exits go on.
        """
        if body.policy is Policy.FLATTEN and body.confirm != _FLATTEN_WORD:
            raise InvalidInput(
                "flatten_not_confirmed",
                f'To sell the positions as well, send "confirm": "{_FLATTEN_WORD}".',
                fields={"confirm": _FLATTEN_WORD},
            )
        scope = _scope_of(body, caller)
        wanted = StopRequest(scope, body.policy, caller.actor, body.reason or "no reason given")
        done: list[Stopped] = []

        def work(tx: Tx) -> Answer:
            _demand_allowed(tx, deps, caller, scope)
            done.append(deps.desk.emergency.stop(tx, wanted))
            return Answer.of(200, stop_done_out(done[-1], by="you").model_dump(mode="json"))

        await _refuse_early(deps, caller, scope)
        answer = await deps.desk.stop(wanted, lambda tx: once_in_tx(tx, caller.user_id, key, deps.clock.now(), work))
        if answer is None:
            return Answer.of(202, filed_out().model_dump(mode="json")).response()
        if not answer.is_repeat:
            deps.desk.announce(done[-1].denied)
        return answer.response()


def _add_resume(router: APIRouter, deps: EmergencyDeps) -> None:
    @router.post("/resume", response_class=Response, responses=_RESUMED)
    async def resume(body: ResumeBody, caller: Trader, key: OnceKey) -> Response:
        """Let entries go again; what was stopped is not sent. Needs the caller's password."""
        scope = _scope_of(body, caller)
        await deps.step_up(caller.user_id, Secret(body.password.get_secret_value()))

        def work(tx: Tx) -> Answer:
            _demand_allowed(tx, deps, caller, scope)
            row = deps.desk.emergency.resume(
                tx, scope, actor=caller.actor, reason=body.reason, is_operator=caller.is_operator
            )
            return Answer.of(200, stop_out(row, by=_by(row, caller)).model_dump(mode="json"))

        # The hash that is kept must not cover the password: it could be guessed from it.
        once = RequestKey(key.key, hashlib.sha256(f"resume {scope}".encode()).hexdigest())
        answer = await deps.desk.resume(scope, lambda tx: once_in_tx(tx, caller.user_id, once, deps.clock.now(), work))
        return answer.response()


# --- who may what ----------------------------------------------------------------------------------


def _scope_of(body: ScopeBody, caller: Principal) -> Scope:
    if body.scope is ScopeKind.PLATFORM:
        scope = PLATFORM
    elif body.scope is ScopeKind.USER:
        scope = Scope(ScopeKind.USER, body.subject or caller.user_id)
    elif body.subject:
        scope = Scope(body.scope, body.subject)
    else:
        raise InvalidInput("subject_missing", f"Name the {body.scope} in `subject`.", fields={"subject": "missing"})
    if scope.kind in (ScopeKind.PLATFORM, ScopeKind.VENUE) and not caller.is_operator:
        raise Forbidden("role_missing", f"The {scope.kind} is the operator's to stop and to open again.")
    return scope


def _demand_allowed(tx: Tx, deps: EmergencyDeps, caller: Principal, scope: Scope) -> None:
    """Operators reach everything there is, others themselves and their accounts. Raises NotFound."""
    if caller.is_operator:
        is_there = deps.is_known(tx, scope)
    elif scope.kind is ScopeKind.USER:
        is_there = scope.subject == caller.user_id
    else:
        is_there = any(account_id == scope.subject for _, account_id in deps.own_accounts(tx, caller.user_id))
    if not is_there:
        raise NotFound(f"{scope.kind}_not_found", f"There is no such {scope.kind}.")


async def _refuse_early(deps: EmergencyDeps, caller: Principal, scope: Scope) -> None:
    """Whoever has no business with a scope must not close its latch for a moment either."""
    if not caller.is_operator and scope != Scope(ScopeKind.USER, caller.user_id):
        await deps.db.read(lambda tx: _demand_allowed(tx, deps, caller, scope))


# --- showing ---------------------------------------------------------------------------------------


def _concern(tx: Tx, deps: EmergencyDeps, caller: Principal) -> set[Scope] | None:
    """The scopes that concern a caller; None for all."""
    if caller.is_operator:
        return None
    found = {PLATFORM, Scope(ScopeKind.USER, caller.user_id)}
    for venue, account_id in deps.own_accounts(tx, caller.user_id):
        found.update(scopes_of(venue, caller.user_id, account_id))
    return found


def _items(tx: Tx, deps: EmergencyDeps, caller: Principal) -> list[StopOut]:
    rows = emergency_store.list_stops(tx, _concern(tx, deps, caller))
    return [
        stop_out(row, by=_by(row, caller), progress=_progress(tx, row, caller) if row.is_stopped else None)
        for row in rows
    ]


def _by(row: StopRow, caller: Principal) -> str:
    if row.actor == caller.actor:
        return "you"
    return row.actor if caller.is_operator else "the operator"


def _progress(tx: Tx, row: StopRow, caller: Principal) -> ProgressOut:
    is_wide = row.scope.kind in (ScopeKind.PLATFORM, ScopeKind.VENUE)
    # Of a wide stop a person sees their own part.
    seen = Scope(ScopeKind.USER, caller.user_id) if is_wide and not caller.is_operator else row.scope
    scene = read_scene(tx, seen)
    return ProgressOut(
        entries_on_the_way=len(scene.entries),
        entries_in_doubt=in_doubt(scene.entries),
        positions=len(scene.lots),
        positions_leaving=sum(scene.is_leaving(holding) for holding in scene.lots),
        positions_dust=sum(holding.state == "dust" for holding in scene.lots),
    )
