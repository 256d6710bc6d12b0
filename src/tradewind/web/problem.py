"""Errors as RFC 9457 problem documents, in one place.

Rules of this file: a `TradewindError` keeps its own words and code; whatever else happens becomes one of
a few fixed texts, so nothing of ours (stack, SQL, values a user sent) leaves by way of an error. Input is
never echoed: it may hold a secret. An unexpected error is logged with a reference that the answer names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradewind.core.errors import ErrorKind, InvalidInput, TradewindError, Unavailable
from tradewind.infra.db import CommitInDoubt
from tradewind.infra.db_errors import is_passing
from tradewind.infra.log import logger

MEDIA_TYPE = "application/problem+json"
_log = logger("web.problem")

_STATUS: Mapping[ErrorKind, int] = {
    ErrorKind.INVALID: 422,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.TOO_MANY: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.NOT_BUILT: 501,
}

# Bodies that are no document at all are the caller's syntax (400), not its content (422).
_STATUS_OF_CODE: Mapping[str, int] = {
    "malformed_json": 400,
    "body_not_readable": 400,
    "bad_cursor": 400,
    "idempotency_key_missing": 400,
    "body_too_slow": 408,
    "not_json": 415,
}


def status_of(error: TradewindError) -> int:
    """Return the HTTP status under which this error is answered."""
    return _STATUS_OF_CODE.get(error.code, _STATUS[error.kind])


def problem(error: TradewindError, *, instance: str | None = None, status: int | None = None) -> Response:
    """Build the answer to an error. `instance` is the path of the request, never its query."""
    code = status_of(error) if status is None else status
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, error.retry_after_s))
    if code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tradewind"'
    return _document(code, error.code, error.message, fields=error.fields, instance=instance, headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of this app as a problem document."""
    app.add_exception_handler(TradewindError, _on_tradewind_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


class UnexpectedErrors:
    """The last resort around the whole app: 500 without internals, logged, and the server lives on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; after the answer has begun, an error can only end the connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if has_started:
                raise
            await self._answer(error, scope, receive, send)

    @staticmethod
    async def _answer(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        path = _shown_path(str(scope.get("path", "")))
        if isinstance(error, TradewindError):
            await problem(error, instance=path)(scope, receive, send)
            return
        known = _passing(error)
        if known is not None:
            _log.warning("web.problem.passing", path=path, error=type(error).__name__)
            await problem(known, instance=path)(scope, receive, send)
            return
        reference = secrets.token_hex(8)
        _log.error("web.problem.unexpected", path=path, reference=reference, exc_info=error)
        text = f"Something went wrong on our side. It was recorded under the reference {reference}."
        await _document(500, "unexpected", text, instance=path)(scope, receive, send)


def _passing(error: Exception) -> TradewindError | None:
    if isinstance(error, CommitInDoubt):
        return Unavailable(
            "outcome_in_doubt",
            "The database did not confirm the change: it may or may not have been made. "
            "Look before you repeat the request.",
            retry_after_s=10,
        )
    if is_passing(error):
        return Unavailable("database_busy", "The database is busy. Try again in a moment.", retry_after_s=2)
    if isinstance(error, DataError):
        return InvalidInput("not_storable", "A value in the request cannot be stored (a NUL character, say).")
    if isinstance(error, TimeoutError):
        return Unavailable("timed_out", "This took too long and was given up. Try again.", retry_after_s=2)
    return None


def _on_tradewind_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TradewindError)
    return problem(error, instance=request.url.path)


def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(item["type"] == "json_invalid" for item in problems):
        bad = InvalidInput("malformed_json", "The body is not valid JSON.")
        return problem(bad, instance=request.url.path)
    if _is_other_media(request, problems):
        return problem(InvalidInput("not_json", _HTTP_TEXTS[415][1]), instance=request.url.path)
    # `msg` says what was expected; `input` and `ctx` hold what was sent and stay here.
    fields = {_field_name(item["loc"]): str(item["msg"]).removeprefix("Value error, ") for item in problems}
    named = ", ".join(sorted(fields))
    text = f"The request does not fit: {named}." if named else "The request does not fit."
    return problem(InvalidInput("invalid_request", text, fields=fields), instance=request.url.path)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, text = _HTTP_TEXTS.get(error.status_code, ("refused", "The request was refused."))
    headers = dict(error.headers or {})
    return _document(error.status_code, code, text, instance=request.url.path, headers=headers)


_HTTP_TEXTS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    401: ("not_signed_in", "Sign in or send a valid API token."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("body_too_large", "The body is larger than what is read here. Nothing was stored. Send less at once."),
    415: ("not_json", "Send the body as application/json."),
}


# The path of a webhook is its secret: it goes into no answer, log or error page.
_WEBHOOK_TOKEN = re.compile(r"(/webhooks/+)[^/]+|twh_[\w-]+")


def _shown_path(path: str) -> str:
    return _WEBHOOK_TOKEN.sub(lambda found: f"{found[1] or ''}***", path)


def _is_other_media(request: Request, problems: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a body was not read because it did not come as JSON."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media == "application/json" or media.endswith("+json")
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return has_body and not is_json and any(tuple(item["loc"]) == ("body",) for item in problems)


def _field_name(location: tuple[Any, ...]) -> str:
    parts = [str(part) for part in location if part != "body"]
    return ".".join(parts) or "body"


def _document(
    status: int,
    code: str,
    detail: str,
    *,
    fields: Mapping[str, str] | None = None,
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        "type": f"urn:tradewind:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "fields": dict(fields or {}),
        "instance": None if instance is None else _shown_path(instance),
    }
    return Response(msgspec.json.encode(body), status, dict(headers or {}), MEDIA_TYPE)
