"""Plans and subscriptions: what runs, what has ended, who may change it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text
from tests.support.people import People, browser, people

from tradewind.billing.routes import BillingDeps, build_router
from tradewind.core.errors import InvalidInput
from tradewind.core.ids import UserId
from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.web.principal import Role, Scope


@pytest.fixture
def house(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as house:
        house.db.write_now(house.billing.seed_plans)
        yield house


def _set(house: People, user_id: UserId, plan: PlanName, *, days: int | None = None) -> None:
    ends_at = None if days is None else house.clock.now() + timedelta(days=days)
    house.db.write_now(lambda tx: house.billing.set_subscription(tx, user_id, plan, actor="cli", ends_at=ends_at))


def _plan(house: People, user_id: UserId) -> PlanName | None:
    plans = house.db.read_now(lambda tx: house.billing.entitlement(tx, [user_id], house.clock.now()))
    plan = plans[user_id]
    return None if plan is None else plan.name


def test_seed_when_done_again_then_an_edited_plan_stays(house: People) -> None:
    house.db.write_now(lambda tx: tx.execute(text("UPDATE plans SET weekly_entries = 4 WHERE name = 'TRIAL'")))
    assert house.db.write_now(house.billing.seed_plans) == 0
    plans = {plan.name: plan for plan in house.db.read_now(house.billing.list_plans)}
    assert plans[PlanName.TRIAL].weekly_entries == 4
    assert {name: plan for name, plan in plans.items() if name is not PlanName.TRIAL} == {
        name: plan for name, plan in DEFAULT_PLANS.items() if name is not PlanName.TRIAL
    }


def test_entitlement_when_asked_for_many_then_asks_as_often_as_for_one(house: People) -> None:
    users = [UserId(f"u{number}") for number in range(200)]
    for number, user in enumerate(users[:8]):
        _set(house, user, list(PlanName)[number % 4])
    statements: list[str] = []
    reader = house.db._reader
    event.listen(reader, "before_cursor_execute", lambda *args: statements.append(args[2]))
    plans = house.db.read_now(lambda tx: house.billing.entitlement(tx, users, house.clock.now()))
    # Subscriptions and plans, however many people.
    assert len([statement for statement in statements if "SELECT" in statement]) == 2
    assert set(plans) == set(users)
    assert [plan.name if plan else None for plan in (plans[user] for user in users[:9])] == [
        *list(PlanName),
        *list(PlanName),
        None,
    ]


def test_entitlement_when_time_is_over_then_nothing_runs(house: People) -> None:
    user = UserId("u1")
    _set(house, user, PlanName.PRO, days=30)
    assert _plan(house, user) is PlanName.PRO
    house.clock.step_wall(30 * 86_400 - 1)
    assert _plan(house, user) is PlanName.PRO
    house.clock.step_wall(1)
    assert _plan(house, user) is None


def test_set_when_another_runs_then_it_ends_and_stays_as_history(house: People) -> None:
    user = UserId("u1")
    _set(house, user, PlanName.TRIAL)
    house.clock.step_wall(60)
    _set(house, user, PlanName.FLEX)
    assert _plan(house, user) is PlanName.FLEX
    rows = house.db.read_now(lambda tx: tx.execute(text("SELECT status FROM subscriptions ORDER BY created_at")).all())
    assert [row.status for row in rows] == ["ended", "active"]


def test_set_when_done_twice_in_the_same_instant_then_the_last_one_counts(house: People) -> None:
    user = UserId("u1")
    _set(house, user, PlanName.TRIAL)
    _set(house, user, PlanName.PRO)
    assert _plan(house, user) is PlanName.PRO


def test_set_when_the_end_lies_in_the_past_then_is_refused(house: People) -> None:
    with pytest.raises(InvalidInput):
        _set(house, UserId("u1"), PlanName.PRO, days=0)


def test_end_when_done_then_nothing_runs_and_twice_is_harmless(house: People) -> None:
    user = UserId("u1")
    _set(house, user, PlanName.PRO)
    for _ in range(2):
        house.db.write_now(lambda tx: house.billing.end_subscription(tx, user, actor="cli"))
    assert _plan(house, user) is None
    rows = house.db.read_now(lambda tx: house.audit.entries_of_user(tx, user))
    assert [row.action for row in rows] == ["subscription.ended", "subscription.set"]


async def test_routes_when_a_user_looks_then_sees_plans_and_their_own(house: People) -> None:
    ann = house.add_user("ann")
    _set(house, ann.id, PlanName.FLEX, days=30)
    app = house.app(build_router(BillingDeps(house.db, house.billing, house.identity)))
    async with browser(app, house.add_token(ann)) as client:
        plans = (await client.get("/api/v1/plans")).json()["items"]
        mine = (await client.get("/api/v1/subscription")).json()
    assert [(plan["name"], plan["release_delay_ms"]) for plan in plans] == [
        ("TRIAL", 3000),
        ("FLEX", 1000),
        ("ENTERPRISE", 0),
        ("PRO", 0),
    ]
    assert mine["plan"]["name"] == "FLEX"
    house.clock.step_wall(31 * 86_400)
    async with browser(app, house.add_token(ann)) as client:
        assert (await client.get("/api/v1/subscription")).json() == {"plan": None, "starts_at": None, "ends_at": None}


async def test_routes_when_a_plan_is_set_then_only_an_operator_may(house: People) -> None:
    ann, olga = house.add_user("ann"), house.add_user("olga", role=Role.OPERATOR)
    app = house.app(build_router(BillingDeps(house.db, house.billing, house.identity)))
    path, body = f"/api/v1/users/{ann.id}/subscription", {"plan": "PRO"}
    async with browser(app, house.add_token(ann)) as client:
        assert (await client.put(path, json=body)).status_code == 403
    async with browser(app, house.add_token(olga, scopes=frozenset({Scope.READ}))) as client:
        assert (await client.put(path, json=body)).status_code == 403
    assert _plan(house, ann.id) is None
    async with browser(app, house.add_token(olga)) as client:
        assert (await client.put(path, json=body)).json()["plan"]["name"] == "PRO"
        assert (await client.put("/api/v1/users/nobody/subscription", json=body)).status_code == 404
        assert (await client.put(path, json={"plan": "GOLD"})).status_code == 422
        naive = await client.put(path, json={"plan": "PRO", "ends_at": "2027-01-01T00:00:00"})
        assert naive.status_code == 422
    assert _plan(house, ann.id) is PlanName.PRO
