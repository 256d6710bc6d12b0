"""Errors as problem documents: the right status, stable codes, nothing of ours inside."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.responses import Response, StreamingResponse
from tests.support.people import browser
from tests.support.web import guarded_app

from tradewind.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotBuilt,
    NotFound,
    TooLarge,
    TooMany,
    TradewindError,
    Unauthenticated,
    Unavailable,
)
from tradewind.infra.db import CommitInDoubt

_CANARY = "canary-9b1d3f57"


class _Body(BaseModel):
    name: Annotated[str, Field(max_length=5)]
    count: int


def _refuse(_name: str) -> str:
    raise ValueError("No such name.")


class _Checked(BaseModel):
    name: Annotated[str, AfterValidator(_refuse)]


def _raising(error: Exception) -> FastAPI:
    app = guarded_app()

    @app.get("/x")
    async def x() -> None:
        raise error

    return app


async def _get(app: FastAPI) -> Any:
    async with browser(app) as client:
        return await client.get("/x")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("a", "b"), 422),
        (InvalidInput("malformed_json", "b"), 400),
        (Unauthenticated("a", "b"), 401),
        (Forbidden("a", "b"), 403),
        (NotFound("a", "b"), 404),
        (Conflict("a", "b"), 409),
        (TooLarge("a", "b"), 413),
        (TooMany("a", "b", retry_after_s=7), 429),
        (Unavailable("a", "b"), 503),
        (NotBuilt("a", "b"), 501),
    ],
)
async def test_answer_when_an_error_of_ours_is_raised_then_is_its_problem_document(
    error: TradewindError, status: int
) -> None:
    answer = await _get(_raising(error))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "code", "fields", "instance"}
    assert (document["status"], document["code"], document["detail"]) == (status, error.code, "b")
    assert document["instance"] == "/x"


async def test_answer_when_there_is_a_time_to_come_back_then_says_so() -> None:
    answer = await _get(_raising(TooMany("a", "b", retry_after_s=7)))
    assert answer.headers["retry-after"] == "7"


async def test_answer_when_nobody_is_signed_in_then_names_the_scheme() -> None:
    answer = await _get(_raising(Unauthenticated("a", "b")))
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_answer_when_something_unexpected_happens_then_tells_nothing_but_a_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = await _get(_raising(RuntimeError(f"at /srv/tradewind with {_CANARY}")))
    assert answer.status_code == 500
    assert _CANARY not in answer.text
    assert "RuntimeError" not in answer.text
    assert "Traceback" not in answer.text
    reference = answer.json()["detail"].split()[-1].rstrip(".")
    logged = capsys.readouterr()
    assert reference in logged.out + logged.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommitInDoubt("COMMIT failed"), "outcome_in_doubt"),
        (OperationalError("SELECT 1", {}, Exception("locked")), "database_busy"),
        (TimeoutError(), "timed_out"),
    ],
)
async def test_answer_when_the_database_is_away_then_is_503_without_its_words(error: Exception, code: str) -> None:
    answer = await _get(_raising(error))
    assert answer.status_code == 503
    assert answer.json()["code"] == code
    assert "SELECT" not in answer.text


async def test_answer_when_the_body_does_not_fit_then_names_fields_and_echoes_nothing() -> None:
    app = guarded_app()

    @app.post("/x")
    async def x(body: _Body) -> None: ...

    async with browser(app) as client:
        answer = await client.post("/x", json={"name": _CANARY, "count": _CANARY})
        broken = await client.post("/x", content=b"{" + _CANARY.encode(), headers={"content-type": "application/json"})
        as_text = await client.post("/x", content=b'{"name":"a","count":1}', headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert set(answer.json()["fields"]) == {"name", "count"}
    assert _CANARY not in answer.text
    assert broken.status_code == 400
    assert broken.json()["code"] == "malformed_json"
    assert _CANARY not in broken.text
    assert (as_text.status_code, as_text.json()["code"]) == (415, "not_json")
    assert "application/json" in as_text.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/problem+json; charset=utf-8"}, 422),
        ({"content-type": "Application/JSON"}, 422),
    ],
)
async def test_answer_when_a_body_comes_then_415_only_if_it_is_not_called_json(
    headers: dict[str, str], status: int
) -> None:
    app = guarded_app()

    @app.post("/x")
    async def x(body: _Body) -> None: ...

    async with browser(app) as client:
        answer = await client.post("/x", content=b'{"name":1}', headers=headers)
        nothing = await client.post("/x")
    assert answer.status_code == status
    assert nothing.status_code == 422


async def test_answer_when_a_checker_of_ours_refuses_then_its_own_prefix_is_not_shown() -> None:
    app = guarded_app()

    @app.post("/x")
    async def x(body: _Checked) -> None: ...

    async with browser(app) as client:
        answer = await client.post("/x", json={"name": "king"})
    assert answer.json()["fields"] == {"name": "No such name."}


@pytest.mark.parametrize("path", ["/webhooks/{}", "/api/v1/webhooks/{}/", "/api//webhooks//{}", "/elsewhere/{}/more"])
@pytest.mark.parametrize("error", [NotFound("a", "b"), TimeoutError(), RuntimeError()])
async def test_answer_when_a_webhook_fails_then_its_address_is_in_no_answer_and_no_log(
    path: str, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    app = guarded_app()
    token = f"twh_{_CANARY}"

    @app.post("/{rest:path}")
    async def x(rest: str) -> None:
        raise error

    async with browser(app) as client:
        raised = await client.post(path.format(token))
        nowhere = await client.get(path.format(token))
        large = await client.post(path.format(token), content=b"x" * 70_000)
    assert large.status_code == 413
    shown = capsys.readouterr()
    for text in (raised.text, nowhere.text, large.text, shown.out, shown.err):
        assert _CANARY not in text
    for answer in (raised, nowhere, large):
        assert answer.json()["instance"] == path.format("***")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/x", 405)])
async def test_answer_when_there_is_no_such_route_then_is_a_problem_document(
    method: str, path: str, status: int
) -> None:
    async with browser(_raising(NotFound("a", "b"))) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_answer_when_it_has_begun_then_a_failure_breaks_off_and_adds_nothing() -> None:
    app = guarded_app()

    @app.get("/x")
    async def x() -> StreamingResponse:
        async def parts() -> Any:
            yield b"first"
            raise RuntimeError(_CANARY)

        return StreamingResponse(parts())

    with pytest.raises(RuntimeError, match=_CANARY):
        await _get(app)


@pytest.mark.parametrize("path", ["/x", "/nowhere"])
async def test_headers_when_anything_is_answered_then_are_all_there(path: str) -> None:
    async with browser(_raising(RuntimeError())) as client:
        answer = await client.get(path)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_headers_when_an_answer_brings_a_policy_then_only_that_answer_has_it() -> None:
    app = guarded_app()

    @app.get("/own")
    async def own() -> Response:
        return Response(headers={"Content-Security-Policy": "default-src 'self'"})

    async with browser(app) as client:
        page, other = await client.get("/own"), await client.get("/openapi.json")
    assert page.headers["content-security-policy"] == "default-src 'self'"
    assert "'self'" not in other.headers["content-security-policy"]
