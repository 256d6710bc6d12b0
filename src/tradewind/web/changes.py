"""At most so many changes wait at a time: the queue in front of the database has a bound.

While the database is away every changing request waits for it, and what the venues told waits behind them. Past the
bound a request is refused at once with 503, so that it is not stored and can be sent again; an emergency stop is not.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tradewind.core.errors import Unavailable
from tradewind.web.problem import problem

CHANGES_MAX = 1_000
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS = "/api/v1/emergency/"


class ChangesBound:
    """Counts the changing requests under way and refuses what is too much."""

    def __init__(self, app: ASGIApp, *, changes_max: int = CHANGES_MAX) -> None:
        self._app = app
        self._changes_max = changes_max
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 503."""
        if scope["type"] != "http" or scope["method"] in _READING or scope["path"].startswith(_ALWAYS):
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._changes_max:
            busy = Unavailable(
                "too_many_waiting",
                "Too many changes wait for the database. Nothing was stored; send it again in a moment.",
                retry_after_s=2,
            )
            await problem(busy, instance=scope["path"])(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
