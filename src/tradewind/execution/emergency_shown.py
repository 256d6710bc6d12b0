"""How emergency stops read outside: the schemas of their doors."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tradewind.execution.emergency import Stopped
from tradewind.execution.emergency_store import Policy, ScopeKind, StopRow
from tradewind.web.typed_password import TypedPassword


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ScopeBody(_Strict):
    """What a stop covers: without more, the caller. Venue and platform are the operator's."""

    scope: ScopeKind = ScopeKind.USER
    subject: str | None = Field(default=None, max_length=36, description="venue name, user id or account id")
    reason: str = Field(default="", max_length=200)


class StopBody(ScopeBody):
    """A stop. `policy`: what becomes of entries already sent (leave, cancel) and of positions (flatten)."""

    policy: Policy = Policy.CANCEL
    confirm: str | None = Field(default=None, max_length=16, description="FLATTEN, where policy is flatten")


class ResumeBody(ScopeBody):
    """A resume; the password is asked for again."""

    password: TypedPassword


class ProgressOut(BaseModel):
    """How far a stop is, within what the caller may see."""

    entries_on_the_way: int
    entries_in_doubt: int
    positions: int
    positions_leaving: int
    positions_dust: int


class StopOut(BaseModel):
    """How a scope stands. `by`: you, the operator, or a person's id for operators."""

    scope: ScopeKind
    subject: str | None
    is_stopped: bool
    epoch: int
    since: datetime
    by: str
    reason: str
    policy: Policy
    is_settled: bool
    resumed_at: datetime | None
    progress: ProgressOut | None = None


class StopDoneOut(BaseModel):
    """What a stop did. `is_recorded` false: the database is away, the stop file holds it until it is back."""

    text: str
    is_recorded: bool
    stop: StopOut | None
    denied: int
    entries_on_the_way: int


class EmergencyOut(BaseModel):
    """All stops that concern the caller, and whether this process lets entries pass for them now."""

    is_stopped: bool
    has_stop_file: bool
    items: list[StopOut]
    timestamp: datetime


def stop_out(row: StopRow, *, by: str, progress: ProgressOut | None = None) -> StopOut:
    """Show how a scope stands."""
    return StopOut(
        scope=row.scope.kind,
        subject=row.scope.subject or None,
        is_stopped=row.is_stopped,
        epoch=row.epoch,
        since=row.stopped_at,
        by=by,
        reason=row.reason,
        policy=row.policy,
        is_settled=row.is_settled,
        resumed_at=row.resumed_at,
        progress=progress,
    )


def stop_done_out(done: Stopped, *, by: str) -> StopDoneOut:
    """Show what a stop did."""
    on_the_way = done.on_the_way
    follows = {
        Policy.LEAVE: "are followed to their end",
        Policy.CANCEL: "are followed, and cancelled where they rest",
        Policy.FLATTEN: "are followed, and what they buy is sold",
    }[done.row.policy]
    text = f"Entries are stopped. {len(done.denied)} that waited will not be sent; {on_the_way} already sent {follows}."
    if done.row.policy is Policy.FLATTEN:
        text += " Positions are being sold."
    return StopDoneOut(
        text=f"{text} Stops and targets stay in place.",
        is_recorded=True,
        stop=stop_out(done.row, by=by),
        denied=len(done.denied),
        entries_on_the_way=on_the_way,
    )


def filed_out() -> StopDoneOut:
    """Show a stop that only the file holds yet."""
    return StopDoneOut(
        text=(
            "Entries are stopped on this machine. The database cannot be written now, so the stop stands in the stop "
            "file; it is recorded as soon as the database is back. Until then nothing at all is sent."
        ),
        is_recorded=False,
        stop=None,
        denied=0,
        entries_on_the_way=0,
    )
