"""I-7: no entry is claimed after a committed stop of its scope, whatever comes when (order-protocol.md section 6)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.clock import ManualClock
from tests.support.database import SQLITE, address
from tests.support.emergency import Interleaving, Stage, run_side_by_side, take_turns

from tradewind.core.ids import OrderId
from tradewind.core.order import Order
from tradewind.execution import emergency_store, journal
from tradewind.execution.emergency_store import PLATFORM, EpochName, Scope, ScopeKind
from tradewind.execution.latch import Latch
from tradewind.execution.stops import active_stops, stopped_entries
from tradewind.infra import db_postgresql
from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import upgrade_schema

# 13 parts of 80 interleavings: 1,040 in all. A server answers more slowly: there 130, and all with INTERLEAVINGS=80.
_PARTS = 13
_EACH = 80
_LINGER_S = 0.02
_EACH_AT_A_SERVER = int(os.environ.get("INTERLEAVINGS", "10"))


@contextmanager
def _stages(folder: Path, count: int = 2) -> Iterator[list[Stage]]:
    """Several processes' worth of journals over one database."""
    url = address(folder / "journal.db", is_migrated=True)
    dbs = [Db.open(url) for _ in range(count)]
    try:
        upgrade_schema(dbs[0])
        clock = ManualClock()
        yield [Stage(db, clock) for db in dbs]
    finally:
        for db in dbs:
            db.close()


def _scope(rng: random.Random, accounts: list[str]) -> Scope:
    account = rng.choice(accounts)
    user = f"u-{account.partition('/')[0]}"
    kinds = [PLATFORM, Scope(ScopeKind.VENUE, "binance"), Scope(ScopeKind.USER, user)]
    return rng.choice([*kinds, Scope(ScopeKind.ACCOUNT, account)])


@pytest.mark.parametrize("part", range(_PARTS))
def test_fault_60_stop_during_fanout_when_steps_interleave_then_nothing_is_claimed_after_its_commit(
    tmp_path: Path, part: int, database: str
) -> None:
    """order-protocol.md section 6."""
    count = _EACH if database == SQLITE else _EACH_AT_A_SERVER
    with _stages(tmp_path) as stages:
        _play_all(stages, range(part * _EACH, part * _EACH + count))


def _no_stop_is_read(*_what: object) -> dict[OrderId, str]:
    return {}


def _only_stops_in_force(tx: Tx, due: Sequence[Order], _decided_under: object) -> dict[OrderId, str]:
    newest = dict.fromkeys([order.id for order in due], 1 << 60)
    return stopped_entries(tx, due, newest)


@pytest.mark.parametrize("planted", [_no_stop_is_read, _only_stops_in_force])
def test_interleavings_when_a_claim_looks_at_stops_wrongly_then_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Callable[..., dict[OrderId, str]]
) -> None:
    monkeypatch.setattr(journal, "stopped_entries", planted)
    with _stages(tmp_path) as stages, pytest.raises(AssertionError, match="was claimed after the stop's commit"):
        _play_all(stages, range(_EACH))


def _look_and_linger(tx: Tx, due: Sequence[Order], decided_under: Mapping[OrderId, int]) -> dict[OrderId, str]:
    """A claim that takes its time between its look at the stops and its commit."""
    found = stopped_entries(tx, due, decided_under)
    time.sleep(_LINGER_S)
    return found


def _no_lock_is_taken(tx: Tx, *names: EpochName) -> dict[EpochName, int]:
    return {name: emergency_store.peek(tx, name) for name in names}


def _play_late(stages: Sequence[Stage], seeds: range) -> None:
    """Interleavings in which entries are recorded and claimed while a stop's transaction takes its time."""
    for seed in seeds:
        rng = random.Random(seed)
        case = Interleaving(stages, seed, PLATFORM, _LINGER_S)
        case.prepare([f"{seed}a/1"], 1)
        actors = [case.latecomer(stages[0]), case.latecomer(stages[1]), case.stopper(stages[2], rng)]
        run_side_by_side(actors, rng)
        stages[0].claim([order.id for order in case.entries])
        case.check()
        if PLATFORM in stages[0].db.read_now(active_stops):
            stages[0].resume(PLATFORM)


@pytest.mark.database("postgresql")
def test_interleavings_when_writers_run_side_by_side_then_the_shared_row_keeps_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the one lock that lets PostgreSQL's writers in one by one: claim and stop still never cross."""
    monkeypatch.setattr(db_postgresql, "_BEGIN_WRITE", "BEGIN ISOLATION LEVEL READ COMMITTED")
    monkeypatch.setattr(journal, "stopped_entries", _look_and_linger)
    with _stages(tmp_path, 3) as stages:
        _play_late(stages, range(20))


@pytest.mark.database("postgresql")
def test_interleavings_when_writers_run_side_by_side_and_the_row_is_not_shared_then_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_postgresql, "_BEGIN_WRITE", "BEGIN ISOLATION LEVEL READ COMMITTED")
    monkeypatch.setattr(journal, "stopped_entries", _look_and_linger)
    monkeypatch.setattr(emergency_store, "share", _no_lock_is_taken)
    with _stages(tmp_path, 3) as stages, pytest.raises(AssertionError, match="was claimed after the stop's commit"):
        _play_late(stages, range(100))


def _play_all(stages: Sequence[Stage], seeds: range) -> None:
    for seed in seeds:
        _play(stages, seed)


def _play(stages: Sequence[Stage], seed: int) -> None:
    """One interleaving, drawn by its seed; the next one starts with every scope open."""
    rng = random.Random(seed)
    accounts = [f"{seed}a/1", f"{seed}a/2", f"{seed}b/1"]
    for stage in stages:
        stage.latch = Latch()
    case = Interleaving(stages, seed, _scope(rng, accounts))
    case.prepare(accounts, rng.randint(1, 2))
    draws = [random.Random(rng.random()) for _ in range(4)]
    actors = [
        case.claimer(stages[0], draws[0]),
        case.claimer(stages[1], draws[1]),
        case.stopper(rng.choice(stages), draws[2]),
        case.decider(stages[0], draws[3]),
    ]
    # SQLite has one writer at a time: the order of the steps is all there is, and the seed draws it. At a server
    # the actors have sessions of their own, and what keeps them apart is what is tried.
    play = take_turns if stages[0].db.dialect == "sqlite" else run_side_by_side
    play(actors, rng)
    # Everything that still waits is offered once more, as the running platform would.
    stages[0].claim([order.id for order in case.entries])
    case.check()
    if case.scope in stages[0].db.read_now(active_stops):
        stages[0].resume(case.scope)
