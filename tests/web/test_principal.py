"""Who is calling: tokens, cookies, other sites, scopes and roles."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from tests.support.people import browser
from tests.support.web import COOKIE, CSRF, OPERATOR_TOKEN, USER_TOKEN, guarded_app

from tradewind.web.principal import Caller, Operator, Reader, Trader

_COOKIE = {"Cookie": f"__Host-tw={COOKIE}"}
_CSRF = {"X-CSRF": CSRF}


def _app() -> FastAPI:
    app = guarded_app()

    @app.get("/read")
    async def read(caller: Reader) -> str:
        return caller.user_id

    @app.post("/act")
    async def act(caller: Trader) -> str:
        return caller.user_id

    @app.delete("/act")
    async def undo(caller: Caller) -> str:
        return caller.user_id

    @app.post("/admin")
    async def admin(caller: Operator) -> str:
        return caller.user_id

    return app


async def _call(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async with browser(_app()) as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "not_signed_in"),
        ({"Authorization": ""}, "bad_authorization"),
        ({"Authorization": USER_TOKEN}, "bad_authorization"),
        ({"Authorization": f"Basic {USER_TOKEN}"}, "bad_authorization"),
        ({"Authorization": "Bearer tw_unknown"}, "bad_token"),
        ({"Cookie": "__Host-tw=unknown"}, "bad_token"),
        ({"Cookie": f"tw={COOKIE}"}, "not_signed_in"),
        # A wrong header never falls back to a right cookie.
        ({"Authorization": "Bearer tw_unknown", **_COOKIE}, "bad_token"),
    ],
)
async def test_request_when_nobody_we_know_calls_then_is_401(headers: dict[str, str], code: str) -> None:
    answer = await _call("GET", "/read", headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == code


async def test_request_when_a_token_is_right_then_needs_no_csrf_header() -> None:
    headers = {"Authorization": f"bearer {USER_TOKEN}"}
    assert (await _call("GET", "/read", headers)).json() == "u1"
    assert (await _call("POST", "/act", headers)).json() == "u1"


async def test_request_when_a_cookie_reads_then_needs_no_csrf_header() -> None:
    assert (await _call("GET", "/read", _COOKIE)).json() == "u1"


@pytest.mark.parametrize(("method", "path"), [("POST", "/act"), ("DELETE", "/act")])
async def test_request_when_a_cookie_acts_then_needs_the_csrf_header(method: str, path: str) -> None:
    for wrong in ({}, {"X-CSRF": ""}, {"X-CSRF": "wrong"}):
        answer = await _call(method, path, {**_COOKIE, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
    assert (await _call(method, path, {**_COOKIE, **_CSRF})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "https://tradewind.test.evil.test"},
        {"Origin": "https://tradewind.test:8443"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://tradewind.test", "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_request_when_another_site_sends_it_then_is_refused_even_with_the_header(origin: dict[str, str]) -> None:
    answer = await _call("POST", "/act", {**_COOKIE, **_CSRF, **origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "origin",
    [
        {"Origin": "https://tradewind.test"},
        {"Origin": "http://tradewind.test"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_request_when_our_own_page_sends_it_then_is_served(origin: dict[str, str]) -> None:
    assert (await _call("POST", "/act", {**_COOKIE, **_CSRF, **origin})).status_code == 200


async def test_request_when_the_scope_or_role_is_missing_then_is_403() -> None:
    user, operator = ({"Authorization": f"Bearer {token}"} for token in (USER_TOKEN, OPERATOR_TOKEN))
    assert (await _call("POST", "/admin", user)).json()["code"] == "role_missing"
    assert (await _call("POST", "/admin", operator)).status_code == 200
