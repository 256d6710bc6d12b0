"""A repeated POST is one act."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select
from starlette.responses import Response
from tests.support.clock import ManualClock
from tests.support.db import fresh_db
from tests.support.people import browser
from tests.support.web import OPERATOR_TOKEN, USER_TOKEN, guarded_app

from tradewind.core.errors import Conflict, InvalidInput
from tradewind.core.ids import UserId
from tradewind.infra.db import Db, Tx
from tradewind.web.idempotency import (
    Answer,
    OnceKey,
    RequestKey,
    forget_old,
    once_in_tx,
    run_once,
)
from tradewind.web.principal import Caller

_tables = MetaData()
_acts = Table("acts", _tables, Column("id", Integer, primary_key=True))
_USER = UserId("u1")
_KEY = RequestKey("k1", "h1")


class _Body(BaseModel):
    n: int


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    with fresh_db(tmp_path, ("web",)) as db:
        _tables.create_all(db.engine)
        yield db


def _act(tx: Tx) -> Answer:
    tx.execute(insert(_acts).values({}))
    return Answer.of(201, {"n": _count(tx)})


def _count(tx: Tx) -> int:
    return int(tx.execute(select(func.count()).select_from(_acts)).scalar_one())


async def _once(db: Db, clock: ManualClock, key: RequestKey | None = _KEY, user: UserId = _USER) -> Answer:
    return await db.write(lambda tx: once_in_tx(tx, user, key, clock.now(), _act))


async def test_once_when_repeated_then_acts_once_and_answers_the_same(db: Db) -> None:
    clock = ManualClock()
    first, second = await _once(db, clock), await _once(db, clock)
    assert (first.status, first.body, first.is_repeat) == (201, b'{"n":1}', False)
    assert (second.status, second.body, second.is_repeat) == (201, b'{"n":1}', True)
    assert await db.read(_count) == 1


async def test_once_when_a_hundred_come_at_once_then_acts_once(db: Db) -> None:
    clock = ManualClock()
    answers = await asyncio.gather(*(_once(db, clock) for _ in range(100)))
    assert {answer.body for answer in answers} == {b'{"n":1}'}
    assert await db.read(_count) == 1


async def test_once_when_the_body_is_another_then_is_refused(db: Db) -> None:
    clock = ManualClock()
    await _once(db, clock)
    with pytest.raises(Conflict) as caught:
        await _once(db, clock, RequestKey("k1", "other"))
    assert caught.value.code == "idempotency_key_reused"
    assert await db.read(_count) == 1


async def test_once_when_another_user_has_the_same_key_then_they_do_not_meet(db: Db) -> None:
    clock = ManualClock()
    await _once(db, clock)
    assert not (await _once(db, clock, user=UserId("u2"))).is_repeat
    assert await db.read(_count) == 2


async def test_once_when_the_act_fails_then_neither_act_nor_key_stays(db: Db) -> None:
    clock = ManualClock()

    def fail(tx: Tx) -> Answer:
        _act(tx)
        raise InvalidInput("x", "y")

    with pytest.raises(InvalidInput):
        await db.write(lambda tx: once_in_tx(tx, _USER, _KEY, clock.now(), fail))
    assert await db.read(_count) == 0
    assert not (await _once(db, clock)).is_repeat


async def test_once_when_there_is_no_key_then_acts_each_time(db: Db) -> None:
    clock = ManualClock()
    await _once(db, clock, None)
    await _once(db, clock, None)
    assert await db.read(_count) == 2


async def test_once_when_72_hours_have_passed_then_the_key_is_fresh_again(db: Db) -> None:
    clock = ManualClock()
    await _once(db, clock)
    clock.step_wall(timedelta(hours=71, minutes=59).total_seconds())
    assert (await _once(db, clock)).is_repeat
    clock.step_wall(60)
    assert not (await _once(db, clock)).is_repeat


async def test_forget_old_when_called_then_only_old_keys_go(db: Db) -> None:
    clock = ManualClock()
    await _once(db, clock)
    clock.step_wall(timedelta(hours=73).total_seconds())
    await _once(db, clock, RequestKey("k2", "h"))
    assert await db.write(lambda tx: forget_old(tx, clock.now())) == 1
    assert (await _once(db, clock, RequestKey("k2", "h"))).is_repeat


async def test_run_once_when_repeated_after_the_answer_then_acts_once(db: Db) -> None:
    clock = ManualClock()
    acts: list[int] = []

    async def act() -> Answer:
        acts.append(1)
        return Answer.of(201, {"n": len(acts)})

    first = await run_once(db, clock, _USER, _KEY, act)
    second = await run_once(db, clock, _USER, _KEY, act)
    assert first.body == second.body
    assert second.is_repeat
    assert len(acts) == 1


async def test_run_once_when_repeated_while_under_way_then_is_told_to_wait(db: Db) -> None:
    clock = ManualClock()
    started, go_on = asyncio.Event(), asyncio.Event()

    async def act() -> Answer:
        started.set()
        await go_on.wait()
        return Answer.of(201, {})

    running = asyncio.create_task(run_once(db, clock, _USER, _KEY, act))
    await started.wait()
    with pytest.raises(Conflict) as caught:
        await run_once(db, clock, _USER, _KEY, act)
    assert caught.value.code == "request_under_way"
    go_on.set()
    assert (await running).status == 201


async def test_run_once_when_refused_then_the_same_request_may_be_sent_again(db: Db) -> None:
    clock = ManualClock()

    async def refuse() -> Answer:
        raise InvalidInput("x", "y")

    async def act() -> Answer:
        return Answer.of(201, {})

    with pytest.raises(InvalidInput):
        await run_once(db, clock, _USER, _KEY, refuse)
    assert not (await run_once(db, clock, _USER, _KEY, act)).is_repeat


async def test_run_once_when_the_process_died_in_between_then_the_claim_lapses_after_a_minute(db: Db) -> None:
    clock = ManualClock()

    async def die() -> Answer:
        raise asyncio.CancelledError

    async def act() -> Answer:
        return Answer.of(201, {})

    with pytest.raises(asyncio.CancelledError):
        await run_once(db, clock, _USER, _KEY, die)
    with pytest.raises(Conflict):
        await run_once(db, clock, _USER, _KEY, act)
    clock.step_wall(61)
    assert (await run_once(db, clock, _USER, _KEY, act)).status == 201


def _app(db: Db) -> FastAPI:
    app, clock = guarded_app(), ManualClock()

    @app.post("/x")
    async def x(body: _Body, caller: Caller, key: OnceKey) -> Response:
        answer = await db.write(lambda tx: once_in_tx(tx, caller.user_id, key, clock.now(), _act))
        return answer.response()

    return app


async def test_header_when_the_same_post_is_sent_twice_then_the_second_answer_says_so(db: Db) -> None:
    async with browser(_app(db), USER_TOKEN) as client:
        headers = {"Idempotency-Key": "abc"}
        first = await client.post("/x", json={"n": 1}, headers=headers)
        second = await client.post("/x", json={"n": 1}, headers=headers)
        other_body = await client.post("/x", json={"n": 2}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.text == second.text
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert other_body.status_code == 409
    async with browser(_app(db), OPERATOR_TOKEN) as client:
        other_user = await client.post("/x", json={"n": 1}, headers=headers)
    assert "idempotency-replayed" not in other_user.headers


@pytest.mark.parametrize("key", [None, "", " ", "a b", "a" * 256, "a\tb"])
async def test_header_when_it_is_missing_or_malformed_then_is_refused(db: Db, key: str | None) -> None:
    async with browser(_app(db), USER_TOKEN) as client:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await client.post("/x", json={"n": 1}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_missing"
    assert await db.read(_count) == 0
