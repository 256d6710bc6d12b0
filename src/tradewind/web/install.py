"""Puts the shared doors around an app, in the one order that is right."""

from __future__ import annotations

from fastapi import FastAPI

from tradewind.web import principal, problem
from tradewind.web.body import BodyLimit
from tradewind.web.changes import ChangesBound
from tradewind.web.headers import SecurityHeaders
from tradewind.web.principal import Authenticator
from tradewind.web.ratelimit import Limiter, RateHeaders


def install_web(app: FastAPI, *, authenticator: Authenticator, limiter: Limiter) -> None:
    """Install errors, authentication, limits and headers; call once, before the first request.

    Outermost first: headers (so that every answer has them), the last resort, the body's bound, the bound on
    changes that wait, the limit's headers, then the app.
    """
    problem.install(app)
    principal.install(app, authenticator, limiter)
    # Starlette puts the one added last outermost.
    app.add_middleware(RateHeaders)
    app.add_middleware(ChangesBound)
    app.add_middleware(BodyLimit)
    app.add_middleware(problem.UnexpectedErrors)
    app.add_middleware(SecurityHeaders)
