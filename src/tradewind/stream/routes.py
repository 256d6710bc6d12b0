"""The stream's door: WebSocket /stream.

A browser comes with its session cookie and must come from our own origin (a page of another site could open
the socket in the user's name otherwise). A program sends `Authorization: Bearer tw_...`, or, where it cannot
set headers, `{"type": "auth", "token": "tw_..."}` as its first frame within 5 s. Never in the URL: URLs are logged.

Close codes: 4400 not a frame, 4401 not signed in (any more), 4403 not allowed, 4408 too slow, 4429 too many streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tradewind.core.errors import Forbidden, TooMany, Unauthenticated
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.stream.frames import Auth, BadFrame, Resume, decode, encode
from tradewind.stream.hub import Hub
from tradewind.stream.outlet import Outlet
from tradewind.web.principal import SESSION_COOKIE, Authenticator, Principal, Role, Scope, authenticate

AUTH_FRAME_S = 5.0
# How long live events wait for a client's `resume`, so that it never sees n+5 before n+1.
_RESUME_GRACE_S = 0.3
# A socket that takes nothing for this long is gone.
_SEND_TIMEOUT_S = 10.0
# A revoked token or ended session loses its stream within this time.
_RECHECK_S = 60.0
# Sockets that have not yet said who they are, over all callers.
_STRANGERS_MAX = 200

NOT_A_FRAME, NOT_SIGNED_IN, NOT_ALLOWED, TOO_SLOW, TOO_MANY = 4400, 4401, 4403, 4408, 4429

_log = logger("stream.socket")
_Check = Callable[[], Awaitable[Principal]]


class _Closing(Exception):
    """Ends a socket with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def build_router(hub: Hub, clock: Clock) -> APIRouter:
    """Build the room's router; `install_web` must have put an authenticator in place."""
    router = APIRouter()
    door = _Door(hub, clock)

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await door.serve(socket)

    return router


class _Door:
    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._strangers = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket from upgrade to close."""
        try:
            check = await self._welcome(socket)
            await self._serve_known(socket, check)
        except _Closing as closing:
            await _close(socket, closing.code, closing.reason)
        except WebSocketDisconnect:
            return

    async def _welcome(self, socket: WebSocket) -> _Check:
        """Accept the upgrade and learn how to tell who it is."""
        has_credentials = "authorization" in socket.headers or SESSION_COOKIE in socket.cookies
        if has_credentials:
            with contextlib.suppress(Unauthenticated):
                # Another site's page is turned away before the upgrade; a stale session is told by code below.
                try:
                    await authenticate(socket)
                except Forbidden as error:
                    raise _Closing(NOT_ALLOWED, error.message) from None
            await socket.accept()
            return lambda: authenticate(socket)
        if self._strangers >= _STRANGERS_MAX:
            raise _Closing(TOO_MANY, "Too many connections are signing in. Try again in a moment.")
        self._strangers += 1
        try:
            await socket.accept()
            token = await _first_frame(socket)
        finally:
            self._strangers -= 1
        authenticator: Authenticator = socket.app.state.authenticator
        return lambda: authenticator.by_token(token)

    async def _serve_known(self, socket: WebSocket, check: _Check) -> None:
        principal = await _checked(check)
        try:
            outlet = self._hub.connect(principal.user_id, sees_all=_sees_all(principal))
        except TooMany as error:
            raise _Closing(TOO_MANY, error.message) from None
        try:
            await self._pump(socket, outlet, principal, check)
        except* WebSocketDisconnect:
            # The usual end: the other side left.
            pass
        except* _Closing as group:
            closing = _first(group)
            await _close(socket, closing.code, closing.reason)
        finally:
            self._hub.disconnect(outlet)

    async def _pump(self, socket: WebSocket, outlet: Outlet, principal: Principal, check: _Check) -> None:
        has_spoken = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_receive(socket, outlet, has_spoken))
            tasks.create_task(_send(socket, outlet, has_spoken))
            tasks.create_task(self._recheck(principal, check))

    async def _recheck(self, principal: Principal, check: _Check) -> None:
        while True:
            await self._clock.sleep(_RECHECK_S)
            now = await _checked(check)
            # The outlet was chosen by what this caller might see then; another answer needs another outlet.
            if (now.user_id, _sees_all(now)) != (principal.user_id, _sees_all(principal)):
                raise _Closing(NOT_ALLOWED, "What you may see has changed. Connect again.")


def _sees_all(principal: Principal) -> bool:
    return principal.is_operator or principal.role is Role.SUPPORT


async def _checked(check: _Check) -> Principal:
    try:
        principal = await check()
    except Unauthenticated:
        raise _Closing(NOT_SIGNED_IN, "Sign in again.") from None
    except Forbidden as error:
        raise _Closing(NOT_ALLOWED, error.message) from None
    if Scope.READ not in principal.scopes:
        raise _Closing(NOT_ALLOWED, "This token may not read.")
    return principal


async def _first_frame(socket: WebSocket) -> str:
    try:
        async with asyncio.timeout(AUTH_FRAME_S):
            frame = decode(await socket.receive_text())
    except TimeoutError:
        raise _Closing(NOT_SIGNED_IN, "No auth frame within 5 s.") from None
    except (BadFrame, KeyError):
        raise _Closing(NOT_A_FRAME, "Expected an auth frame first.") from None
    if not isinstance(frame, Auth):
        raise _Closing(NOT_SIGNED_IN, "Expected an auth frame first.")
    return frame.token


async def _receive(socket: WebSocket, outlet: Outlet, has_spoken: asyncio.Event) -> None:
    while True:
        try:
            frame = decode(await socket.receive_text())
        except (BadFrame, KeyError) as error:
            # KeyError is Starlette's word for a binary frame.
            reason = str(error) if isinstance(error, BadFrame) else "send text frames"
            raise _Closing(NOT_A_FRAME, reason) from None
        if isinstance(frame, Resume):
            outlet.resume(frame)
        elif not isinstance(frame, Auth):
            outlet.subscribe(frame)
        has_spoken.set()


async def _send(socket: WebSocket, outlet: Outlet, has_spoken: asyncio.Event) -> None:
    await _send_text(socket, encode(outlet.hello()))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RESUME_GRACE_S):
            await has_spoken.wait()
    while True:
        await outlet.ready.wait()
        for frame in outlet.drain():
            await _send_text(socket, encode(frame))


async def _send_text(socket: WebSocket, text: str) -> None:
    try:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await socket.send_text(text)
    except TimeoutError:
        raise _Closing(TOO_SLOW, "Nothing was read for 10 s.") from None
    except RuntimeError as error:
        # Starlette's word for "the other side has closed meanwhile".
        raise WebSocketDisconnect(1006, str(error)) from None


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is WebSocketState.DISCONNECTED or socket.client_state is WebSocketState.DISCONNECTED:
        return
    with contextlib.suppress(RuntimeError, TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            # A close frame holds at most 123 bytes of reason.
            await socket.close(code, reason[:120])


def _first(group: BaseExceptionGroup[_Closing]) -> _Closing:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
