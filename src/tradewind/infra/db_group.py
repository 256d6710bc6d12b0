"""Works that share one COMMIT: each inside a savepoint of its own, so that one that fails undoes nobody else's.

Thousands of small transactions at once (the protection of a fan-out's positions, the first look at every account)
wait for the disk, not for the processor; together they need one wait. An error of the database itself (busy,
connection lost, rolled back for another) is nobody's own: it ends the group, and each work is done again alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tradewind.infra.db_errors import is_conflict, is_passing

# A group is over in a few milliseconds: whoever was first waits for the last.
_GROUP_MAX = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A work that waits for the writing thread."""

    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    is_large: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one work."""

    result: Any
    error: BaseException | None = None


def take_group(waiting: deque[Waiting]) -> list[Waiting]:
    """Take the works that go together, oldest first; one whose caller has gone before it began is dropped."""
    group: list[Waiting] = []
    while waiting and len(group) < _GROUP_MAX:
        if waiting[0].is_large and group:
            break
        taken = waiting.popleft()
        if taken.done.cancelled():
            continue
        group.append(taken)
        if taken.is_large:
            break
    return group


def run_group(tx: Connection, group: Sequence[Waiting]) -> list[Outcome]:
    """Run the works one after the other. Raises what concerns the transaction as a whole."""
    return [_run_one(tx, waiting) for waiting in group]


def _run_one(tx: Connection, waiting: Waiting) -> Outcome:
    savepoint = tx.begin_nested()
    try:
        result = waiting.work(tx)
    except BaseException as error:
        if isinstance(error, DBAPIError) and (is_passing(error) or is_conflict(error)):
            raise
        savepoint.rollback()
        return Outcome(None, error)
    savepoint.commit()
    return Outcome(result)


def settle(group: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
    """On the event loop: tell each caller what became of its work."""
    for waiting, outcome in zip(group, outcomes, strict=True):
        if waiting.done.done():
            continue
        if outcome.error is None:
            waiting.done.set_result(outcome.result)
        else:
            waiting.done.set_exception(outcome.error)
