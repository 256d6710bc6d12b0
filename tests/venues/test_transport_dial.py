"""TLS, proxies, and which of them is used."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import server_context
from tests.support.raw_server import Conversation, raw_server, reply

from tradewind.venues.errors import NotSent
from tradewind.venues.transport import AnswerLost, HttpRequest, Timeouts, Transport
from tradewind.venues.transport_dial import Endpoint, Proxy, proxy_of, venue_ssl_context

Run = Callable[[Coroutine[Any, Any, None]], None]
POST = HttpRequest("POST", "/order", (), b"a=1")
QUICK = Timeouts(wait_s=1.0, connect_s=1.0, first_byte_s=0.5, whole_s=1.0)


def trusting(certificate: Path) -> ssl.SSLContext:
    context = venue_ssl_context()
    context.load_verify_locations(certificate)
    return context


async def _answer_all(conversation: Conversation) -> None:
    while True:
        await conversation.request()
        await conversation.say(reply(b'{"tls":true}'))


def test_request_when_certificate_is_trusted_then_answered_and_connection_kept(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        context, certificate = server_context(tmp_path)
        async with raw_server(_answer_all, tls=context) as server:
            transport = Transport(server.url, ssl_context=trusting(certificate), timeouts=QUICK)
            for _ in range(3):
                assert (await transport.request(POST)).body == b'{"tls":true}'
                await asyncio.sleep(0.01)
            assert server.connections == 1
            await transport.close()

    run(scenario())


def test_request_when_certificate_is_not_trusted_then_not_sent(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        context, _ = server_context(tmp_path)
        async with raw_server(_answer_all, tls=context) as server:
            transport = Transport(server.url, timeouts=QUICK)
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "tls_failed"
            assert server.requests == []
            await transport.close()

    run(scenario())


def test_request_when_certificate_is_of_another_name_then_not_sent(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        context, certificate = server_context(tmp_path, "venue.example")
        async with raw_server(_answer_all, tls=context) as server:
            transport = Transport(server.url, ssl_context=trusting(certificate), timeouts=QUICK)
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "tls_failed"
            assert server.requests == []
            await transport.close()

    run(scenario())


def test_request_when_server_does_not_speak_tls_then_not_sent(run: Run) -> None:
    async def mute(conversation: Conversation) -> None:
        await conversation.reader.read(10)
        await conversation.say(b"HTTP/1.1 400 no tls here\r\n\r\n")

    async def scenario() -> None:
        async with raw_server(mute) as server:
            transport = Transport(f"https://127.0.0.1:{server.port}", timeouts=QUICK)
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "tls_failed"
            await transport.close()

    run(scenario())


def test_request_when_handshake_hangs_then_not_sent_in_time(run: Run) -> None:
    async def mute(conversation: Conversation) -> None:
        await asyncio.sleep(5)

    async def scenario() -> None:
        async with raw_server(mute) as server:
            transport = Transport(f"https://127.0.0.1:{server.port}", timeouts=Timeouts(connect_s=0.3))
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "tls_timeout"
            assert transport.open_count == 0
            await transport.close()

    run(scenario())


def test_fault_36_request_when_tls_connection_dies_after_the_write_then_answer_is_lost(
    run: Run, tmp_path: Path
) -> None:
    async def cut(conversation: Conversation) -> None:
        await conversation.request()
        conversation.hang_up()

    async def scenario() -> None:
        context, certificate = server_context(tmp_path)
        async with raw_server(cut, tls=context) as server:
            transport = Transport(server.url, ssl_context=trusting(certificate), timeouts=QUICK)
            with pytest.raises(AnswerLost):
                await transport.request(POST)
            assert len(server.requests) == 1
            await transport.close()

    run(scenario())


# --- proxies -----------------------------------------------------------------------------------------


def tunnelling(port: int, heard: list[bytes]) -> Callable[[Conversation], Coroutine[Any, Any, None]]:
    """A proxy that connects to one port whatever it is asked for."""

    async def proxy(conversation: Conversation) -> None:
        heard.append(await conversation.request())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await conversation.say(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)
                await sink.drain()

        pumps = [
            asyncio.create_task(pump(conversation.reader, writer)),
            asyncio.create_task(pump(reader, conversation.writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.close()

    return proxy


def test_request_when_proxy_tunnels_then_venue_is_reached_by_its_own_name(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        context, certificate = server_context(tmp_path, "venue.example")
        heard: list[bytes] = []
        async with raw_server(_answer_all, tls=context) as venue, raw_server(tunnelling(venue.port, heard)) as proxy:
            transport = Transport(
                "https://venue.example",
                ssl_context=trusting(certificate),
                timeouts=QUICK,
                proxy=Proxy("127.0.0.1", proxy.port, "Basic dTpw"),
            )
            assert (await transport.request(POST)).body == b'{"tls":true}'
            await transport.close()
        assert heard[0].startswith(b"CONNECT venue.example:443 HTTP/1.1\r\nHost: venue.example:443\r\n")
        assert b"Proxy-Authorization: Basic dTpw\r\n" in heard[0]
        assert b"Proxy-Authorization" not in venue.requests[0]

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000,
        b"HTTP/1.1 200 OK\r\n\r\nnot from the venue",
    ],
    ids=["407", "502", "garbage", "hangs up", "endless headers", "speaks first"],
)
def test_fault_36_request_when_proxy_refuses_then_not_sent(run: Run, answer: bytes) -> None:
    async def refusing(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(answer)

    async def scenario() -> None:
        async with raw_server(refusing) as proxy:
            transport = Transport("https://venue.example", timeouts=QUICK, proxy=Proxy("127.0.0.1", proxy.port))
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "proxy_failed"
            await transport.close()

    run(scenario())


def test_request_when_proxy_hangs_then_not_sent_in_time(run: Run) -> None:
    async def hanging(conversation: Conversation) -> None:
        await asyncio.sleep(5)

    async def scenario() -> None:
        async with raw_server(hanging) as proxy:
            transport = Transport(
                "https://venue.example", timeouts=Timeouts(connect_s=0.3), proxy=Proxy("127.0.0.1", proxy.port)
            )
            with pytest.raises(NotSent) as caught:
                await transport.request(POST)
            assert caught.value.code == "proxy_timeout"
            await transport.close()

    run(scenario())


LIVE = Endpoint.of("https://api.venue.example")


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        (LIVE, {}, None),
        (LIVE, {"https": "http://proxy:3128"}, Proxy("proxy", 3128)),
        (LIVE, {"https": "proxy:3128"}, Proxy("proxy", 3128)),
        (LIVE, {"https": "http://u%40x:p@proxy:3128"}, Proxy("proxy", 3128, "Basic dUB4OnA=")),
        (LIVE, {"https": "http://proxy:3128", "no": "venue.example"}, None),
        (LIVE, {"https": "http://proxy:3128", "no": "other.example, .venue.example"}, None),
        (LIVE, {"https": "http://proxy:3128", "no": "api.venue.example:443"}, None),
        (LIVE, {"https": "http://proxy:3128", "no": "*"}, None),
        (LIVE, {"https": "http://proxy:3128", "no": "enue.example,"}, Proxy("proxy", 3128)),
        (LIVE, {"http": "http://proxy:3128"}, None),
        (Endpoint.of("https://127.0.0.1:9443"), {"https": "http://proxy:3128"}, None),
        (Endpoint.of("https://localhost"), {"https": "http://proxy:3128"}, None),
        (Endpoint.of("https://[::1]:1"), {"https": "http://proxy:3128"}, None),
        (Endpoint.of("http://api.venue.example"), {"https": "http://proxy:3128"}, None),
    ],
)
def test_proxy_of_when_environment_names_one_then_follows_it_but_for_exceptions(
    endpoint: Endpoint, environment: dict[str, str], expected: Proxy | None
) -> None:
    assert proxy_of(endpoint, environment) == expected


def test_proxy_of_when_proxy_is_of_another_kind_then_says_so() -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        proxy_of(LIVE, {"https": "socks5://proxy:1080"})


def test_proxy_repr_when_it_has_a_password_then_hides_it() -> None:
    assert "dTpw" not in repr(Proxy("proxy", 1, "Basic dTpw"))


@pytest.mark.parametrize("url", ["ftp://x", "api.binance.com", "https://", ""])
def test_endpoint_when_url_is_not_http_then_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        Endpoint.of(url)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://api.binance.com", "api.binance.com"),
        ("https://api.binance.com:8443", "api.binance.com:8443"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_endpoint_when_asked_for_host_header_then_leaves_out_the_usual_port(url: str, header: str) -> None:
    assert Endpoint.of(url).host_header == header
