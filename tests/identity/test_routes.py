"""Signing in by HTTP, sessions and tokens as programs and browsers see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.people import People, browser, people

from tradewind.identity.people import User
from tradewind.identity.routes import IdentityDeps, build_router
from tradewind.vault.secret import Secret
from tradewind.web.principal import Role, Scope

_PASSWORD = "umbrella tram violet 7"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as house:
        yield house


@pytest.fixture
def app(house: People) -> FastAPI:
    return house.app(build_router(IdentityDeps(house.db, house.clock, house.identity, house.login)))


@pytest.fixture
async def ann(house: People) -> User:
    return house.add_user("ann", password_hash=await house.passwords.hash(Secret(_PASSWORD)))


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as client:
        yield client


async def _sign_in(client: httpx.AsyncClient, email: str = "ann@example.com", password: str = _PASSWORD) -> Any:
    return await client.post("/api/v1/session", json={"email": email, "password": password})


@pytest.mark.usefixtures("ann")
async def test_sign_in_when_the_password_is_right_then_a_session_begins(stranger: httpx.AsyncClient) -> None:
    answer = await _sign_in(stranger, " ANN@example.com")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-tw=")
    for part in ("HttpOnly", "Secure", "Path=/", "SameSite=strict"):
        assert part in cookie
    assert "Domain" not in cookie
    me = (await stranger.get("/api/v1/me")).json()
    assert me["user"]["email"] == "ann@example.com"
    assert me["scopes"] == ["read", "trade"]
    assert me["csrf"] == answer.json()["csrf"]
    assert "password" not in answer.text


@pytest.mark.usefixtures("ann")
async def test_sign_in_when_address_or_password_are_wrong_then_one_answer_for_both(
    stranger: httpx.AsyncClient,
) -> None:
    wrong_password = await _sign_in(stranger, password="umbrella tram violet 8")
    nobody = await _sign_in(stranger, "nobody@example.com")
    no_address = await _sign_in(stranger, "not an address")
    for answer in (wrong_password, nobody, no_address):
        assert answer.status_code == 401
        assert answer.json()["code"] == "wrong_login"
        assert "set-cookie" not in answer.headers
    assert wrong_password.json() == nobody.json() == no_address.json()


@pytest.mark.usefixtures("ann")
async def test_sign_in_when_tried_six_times_in_a_minute_then_even_the_right_password_waits(
    house: People, stranger: httpx.AsyncClient
) -> None:
    for spelling in (
        "ann@example.com",
        "ANN@example.com",
        " ann@Example.com",
        "ａｎｎ@example.com",
        "Ann@example.COM ",
    ):
        assert (await _sign_in(stranger, spelling, "umbrella tram violet 8")).status_code == 401
    refused = await _sign_in(stranger)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= 12
    await house.clock.advance(12)
    assert (await _sign_in(stranger)).status_code == 200


async def test_sign_in_when_one_address_tries_many_accounts_then_it_is_stopped(
    house: People, stranger: httpx.AsyncClient
) -> None:
    statuses = [(await _sign_in(stranger, f"user{number}@example.com")).status_code for number in range(21)]
    assert statuses == [401] * 20 + [429]


@pytest.mark.usefixtures("ann")
async def test_sign_in_when_another_site_sends_the_form_then_is_refused(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post(
        "/api/v1/session",
        json={"email": "ann@example.com", "password": _PASSWORD},
        headers={"Origin": "https://evil.test"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "ann@example.com"},
        {"email": "ann@example.com", "password": 7},
        {"email": "ann@example.com", "password": ""},
        {"email": "ann@example.com", "password": "canary-71", "role": "operator"},
        {"email": ["canary-71"], "password": {"x": "canary-71"}},
        {"email": "ann@example.com", "password": "canary-71" * 1_000},
    ],
)
async def test_sign_in_when_the_body_does_not_fit_then_is_refused_without_echo(
    stranger: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await stranger.post("/api/v1/session", json=body)
    assert answer.status_code == 422
    assert "canary-71" not in answer.text


@pytest.mark.usefixtures("ann")
async def test_sign_in_when_done_again_then_the_token_is_a_fresh_one(stranger: httpx.AsyncClient) -> None:
    first = (await _sign_in(stranger)).cookies["__Host-tw"]
    second = (await _sign_in(stranger)).cookies["__Host-tw"]
    assert first != second


@pytest.mark.usefixtures("ann")
async def test_sign_out_when_done_then_the_session_is_over_everywhere(stranger: httpx.AsyncClient) -> None:
    signed_in = await _sign_in(stranger)
    cookie, csrf = signed_in.cookies["__Host-tw"], signed_in.json()["csrf"]
    assert (await stranger.delete("/api/v1/session")).status_code == 403
    gone = await stranger.delete("/api/v1/session", headers={"X-CSRF": csrf})
    assert gone.status_code == 204
    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert gone.headers["clear-site-data"]
    stranger.cookies.clear()
    again = await stranger.get("/api/v1/me", headers={"Cookie": f"__Host-tw={cookie}"})
    assert again.status_code == 401


async def test_sign_in_when_the_hash_is_an_older_one_then_it_is_made_anew(
    house: People, ann: User, stranger: httpx.AsyncClient
) -> None:
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(_PASSWORD)
    house.db.write_now(lambda tx: house.identity.replace_password_hash(tx, ann.id, old))
    assert (await _sign_in(stranger)).status_code == 200
    stored = house.db.read_now(lambda tx: house.identity.load_user(tx, ann.id)).password_hash
    assert stored != old
    assert await house.passwords.verify(stored, Secret(_PASSWORD))


async def test_me_when_suspended_then_may_still_sign_in_and_reads_why(
    house: People, ann: User, stranger: httpx.AsyncClient
) -> None:
    house.db.write_now(lambda tx: house.identity.suspend(tx, ann.id, reason="chargeback", until=None, actor="cli"))
    await _sign_in(stranger)
    me = (await stranger.get("/api/v1/me")).json()["user"]
    assert (me["is_suspended"], me["suspended_reason"]) == (True, "chargeback")


@pytest.mark.usefixtures("ann")
async def test_sessions_when_listed_then_this_one_is_marked_and_another_can_be_ended(
    app: FastAPI, stranger: httpx.AsyncClient
) -> None:
    csrf = (await _sign_in(stranger)).json()["csrf"]
    async with browser(app) as other:
        await _sign_in(other)
        items = (await stranger.get("/api/v1/sessions")).json()["items"]
        assert sorted(item["is_this"] for item in items) == [False, True]
        (foreign,) = [item["id"] for item in items if not item["is_this"]]
        ended = await stranger.delete(f"/api/v1/sessions/{foreign}", headers={"X-CSRF": csrf})
        assert ended.status_code == 204
        assert (await other.get("/api/v1/me")).status_code == 401


@pytest.mark.usefixtures("ann")
async def test_tokens_when_issued_by_a_session_then_shown_once_and_usable(
    app: FastAPI, stranger: httpx.AsyncClient
) -> None:
    csrf = (await _sign_in(stranger)).json()["csrf"]
    body = {"label": "my bot", "scopes": ["read"], "days": 30}
    issued = await stranger.post("/api/v1/tokens", json=body, headers={"X-CSRF": csrf})
    assert issued.status_code == 201
    token = issued.json()["token"]
    listed = await stranger.get("/api/v1/tokens")
    assert token not in listed.text
    assert listed.json()["items"][0]["tail"] == token[-4:]
    async with browser(app, token) as program:
        assert (await program.get("/api/v1/me")).json()["scopes"] == ["read"]
        assert (await program.get("/api/v1/me")).json()["csrf"] is None
        assert (await program.delete(f"/api/v1/tokens/{issued.json()['id']}")).status_code == 204
        assert (await program.get("/api/v1/me")).status_code == 401


async def test_tokens_when_a_token_asks_for_another_then_only_an_operators_may(
    house: People, app: FastAPI, ann: User
) -> None:
    olga = house.add_user("olga", role=Role.OPERATOR)
    body = {"label": "more", "scopes": ["trade"]}
    for user, scopes, status in (
        (ann, frozenset({Scope.READ, Scope.TRADE}), 403),
        (olga, frozenset({Scope.READ, Scope.TRADE}), 403),
        (olga, frozenset(Scope), 201),
    ):
        async with browser(app, house.add_token(user, scopes=scopes)) as program:
            assert (await program.post("/api/v1/tokens", json=body)).status_code == status


async def test_ids_when_they_are_another_users_then_are_404_and_nothing_happens(
    house: People, app: FastAPI, ann: User, stranger: httpx.AsyncClient
) -> None:
    bob = house.add_user("bob", role=Role.OPERATOR)
    mine = house.add_token(bob)
    await _sign_in(stranger)
    token_id = house.db.read_now(lambda tx: house.identity.list_tokens(tx, bob.id))[0].id
    session_id = house.db.read_now(lambda tx: house.identity.list_sessions(tx, ann.id))[0].id
    csrf = (await stranger.get("/api/v1/me")).json()["csrf"]
    foreign = await stranger.delete(f"/api/v1/tokens/{token_id}", headers={"X-CSRF": csrf})
    nowhere = await stranger.delete("/api/v1/tokens/nowhere", headers={"X-CSRF": csrf})
    assert (foreign.status_code, nowhere.status_code) == (404, 404)
    assert foreign.json()["detail"] == nowhere.json()["detail"]
    async with browser(app, mine) as program:
        assert (await program.delete(f"/api/v1/sessions/{session_id}")).status_code == 404
        assert (await program.get("/api/v1/tokens")).status_code == 200
    assert (await stranger.get("/api/v1/me")).status_code == 200


async def test_sign_in_when_the_password_is_no_text_then_is_refused_without_quoting_it(
    stranger: httpx.AsyncClient,
) -> None:
    body = '{"email": "ann@example.org", "password": "tell-nobody\\ud800"}'
    answer = await stranger.post("/api/v1/session", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "tell-nobody" not in answer.text
