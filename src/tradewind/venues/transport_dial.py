"""Opening a connection: name, TCP, proxy, TLS. Nothing of a request is written here, so every failure is NotSent.

Order sockets discard what was not sent when they are dropped (SO_LINGER 0) and give up unacknowledged bytes
after 5 s (TCP_USER_TIMEOUT), so that a request given up cannot arrive later from our own buffers
(order-protocol.md section 3.5).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import struct
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from tradewind.venues.errors import NotSent
from tradewind.venues.transport_connection import HttpConnection

_USER_TIMEOUT_MS = 5_000
# DNS answers of exchanges live 60 s or less; a moved address is found again within this time.
_NAME_AGE_S_MAX = 30.0
_PROXY_REPLY_BYTES_MAX = 16 * 1024

_Address = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a venue listens: scheme, host and port of a base URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Read a base URL. Raises ValueError for anything but http(s)://host[:port]."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a base URL is http(s)://host[:port], got scheme {parts.scheme!r}")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == (443 if self.scheme == "https" else 80)
        return host if is_usual else f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels by CONNECT; `authorization` never shows in a repr."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


def proxy_of(endpoint: Endpoint, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """Choose the proxy by HTTPS_PROXY and NO_PROXY; none for loopback and for plain http.

    `environment` is keyed as urllib.request.getproxies_environment() does it ("https", "no").
    Raises ValueError for a proxy that is not http://.
    """
    if endpoint.is_loopback or endpoint.scheme != "https":
        return None
    found = urllib.request.getproxies_environment() if environment is None else dict(environment)
    url = found.get("https")
    if not url or _is_bypassed(endpoint, found.get("no", "")):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("HTTPS_PROXY must be http://host:port; other kinds of proxy are not supported")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _is_bypassed(endpoint: Endpoint, no_proxy: str) -> bool:
    """NO_PROXY: names, domains with or without a leading dot, host:port, or * for everything."""
    names = {endpoint.host.lower(), f"{endpoint.host.lower()}:{endpoint.port}"}
    for entry in no_proxy.lower().split(","):
        domain = entry.strip().lstrip(".")
        if domain == "*" or (domain and any(name == domain or name.endswith(f".{domain}") for name in names)):
            return True
    return False


def venue_ssl_context() -> ssl.SSLContext:
    """Verification on, the system's authorities, HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Opens connections to one endpoint."""

    def __init__(
        self, endpoint: Endpoint, *, proxy: Proxy | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._ssl = (ssl_context or venue_ssl_context()) if endpoint.scheme == "https" else None
        self._addresses: list[_Address] = []
        self._resolved_at = 0.0
        self._resolving: asyncio.Lock | None = None

    async def dial(self, on_lost: Callable[[HttpConnection], None], connect_s: float) -> HttpConnection:
        """Open a connection. Raises NotSent; all phases together take at most `connect_s`."""
        phase = ["name"]
        try:
            async with asyncio.timeout(connect_s):
                return await self._open(on_lost, connect_s, phase)
        except TimeoutError:
            raise NotSent(f"{phase[0]}_timeout", "The venue could not be reached in time.") from None
        except OSError as error:
            raise NotSent(f"{phase[0]}_failed", f"The venue could not be reached ({type(error).__name__}).") from None
        except ValueError as error:
            # UnicodeError from a host name, ssl.CertificateError from a wrong certificate.
            raise NotSent(f"{phase[0]}_failed", f"The venue could not be reached ({type(error).__name__}).") from None

    async def _open(
        self, on_lost: Callable[[HttpConnection], None], connect_s: float, phase: list[str]
    ) -> HttpConnection:
        loop = asyncio.get_running_loop()
        addresses = await self._resolve(loop)
        phase[0] = "connect"
        sock = await self._connect(loop, addresses, connect_s)
        try:
            if self._proxy is not None:
                phase[0] = "proxy"
                await self._tunnel(loop, sock, self._proxy)
            phase[0] = "tls" if self._ssl is not None else "connect"
            _, connection = await loop.create_connection(
                lambda: HttpConnection(loop, on_lost),
                sock=sock,
                ssl=self._ssl,
                server_hostname=self._endpoint.host if self._ssl is not None else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> list[_Address]:
        if self._resolving is None:
            self._resolving = asyncio.Lock()
        # One question at a time: a fan-out that opens 500 connections asks for the name once.
        async with self._resolving:
            if self._addresses and loop.time() - self._resolved_at < _NAME_AGE_S_MAX:
                return self._addresses
            target = self._proxy or self._endpoint
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
            self._resolved_at = loop.time()
            return self._addresses

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, addresses: list[_Address], connect_s: float
    ) -> socket.socket:
        # Each address gets its share, so one that swallows packets does not use up the time of the next.
        share_s = connect_s / max(len(addresses), 1)
        last: OSError = OSError("no address")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                _set_options(sock)
                async with asyncio.timeout(share_s):
                    await loop.sock_connect(sock, address)
            except (OSError, TimeoutError) as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
            else:
                self._prefer((family, address))
                return sock
        self._addresses = []
        raise last

    def _prefer(self, address: _Address) -> None:
        """Try the address that answered first from now on: a dead one must not cost every dial its share."""
        if self._addresses and self._addresses[0] != address:
            self._addresses = [address, *(each for each in self._addresses if each != address)]

    async def _tunnel(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy) -> None:
        authority = f"{self._endpoint.host}:{self._endpoint.port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        reply = b""
        while b"\r\n\r\n" not in reply:
            piece = await loop.sock_recv(sock, 4096)
            reply += piece
            if not piece or len(reply) > _PROXY_REPLY_BYTES_MAX:
                raise ConnectionError("the proxy closed the tunnel")
        status = reply.split(b"\r\n", 1)[0].split(b" ")
        # In TLS the client speaks first, so bytes behind the proxy's headers are not the venue's.
        if len(status) < 2 or status[1] != b"200" or not reply.endswith(b"\r\n\r\n"):
            raise ConnectionError("the proxy refused the tunnel")


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
