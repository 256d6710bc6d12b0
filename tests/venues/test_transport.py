"""The boundary between "never left" and "may have been executed", byte by byte, on both event loops."""

import asyncio
import socket

import pytest
from tests.support.raw_server import Conversation, RawServer, reply
from tests.support.transport_scenes import GET, POST, QUICK, Run, answering, free_port, with_server

from tradewind.venues.errors import NotSent
from tradewind.venues.transport import AnswerLost, HttpRequest, Timeouts, Transport

# --- answers that are whole --------------------------------------------------------------------------


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nTrailer: t\r\n\r\n'


@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
@pytest.mark.parametrize(
    "answer",
    [
        reply(b'{"a":1}', headers=("X-MBX-USED-WEIGHT-1M: 17",)),
        CHUNKED.replace(b"chunked\r\n", b"chunked\r\nx-mbx-used-weight-1m: 17\r\n", 1),
        b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b'{"a":1}', headers=("x-Mbx-Used-Weight-1m:17",)),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply(b'{"a":1}', headers=("X-MBX-USED-WEIGHT-1M:  17  ",)),
    ],
    ids=["length", "chunked", "continue", "hints"],
)
def test_request_when_answer_is_whole_then_returns_it(run: Run, answer: bytes, pieces: int) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        for _ in range(2):
            got = await transport.request(POST)
            assert (got.status, got.body) == (200, b'{"a":1}')
            assert got.headers["x-mbx-used-weight-1m"] == "17"
        assert server.connections == 1

    run(with_server(answering(answer, pieces=pieces), scenario))


def test_request_when_sent_then_bytes_are_exactly_one_http_request(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        await transport.request(POST)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /order HTTP/1.1"
        assert f"Host: 127.0.0.1:{server.port}".encode() in lines
        assert b"X-Key: k" in lines
        assert b"Content-Length: 3" in lines
        assert body == b"a=1"

    run(with_server(answering(reply(b"{}")), scenario))


@pytest.mark.parametrize("status", [204, 400, 429, 500, 503])
def test_request_when_status_is_not_200_then_answer_is_returned_all_the_same(run: Run, status: int) -> None:
    body = b"" if status == 204 else b"<html>"
    answer = b"HTTP/1.1 204 No Content\r\n\r\n" if status == 204 else reply(body, status=status)

    async def scenario(server: RawServer, transport: Transport) -> None:
        got = await transport.request(GET)
        assert (got.status, got.body) == (status, body)

    run(with_server(answering(answer), scenario))


def test_request_when_venue_says_connection_close_then_next_one_dials_anew(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        for _ in range(3):
            assert (await transport.request(GET)).body == b"{}"
        assert server.connections == 3

    run(with_server(answering(reply(b"{}", headers=("Connection: close",)), hang_up=True), scenario))


def test_request_when_http_1_0_without_keep_alive_then_next_one_dials_anew(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        await transport.request(GET)
        await transport.request(GET)
        assert server.connections == 2

    run(with_server(answering(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), scenario))


# --- answers that are lost ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
    ids=[
        "nothing",
        "half head",
        "half body",
        "no last chunk",
        "continue only",
        "body to the end",
        "old body to the end",
    ],
)
def test_request_when_venue_hangs_up_in_the_answer_then_answer_is_lost(run: Run, answer: bytes) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(AnswerLost):
            await transport.request(POST)
        assert len(server.requests) == 1  # and it was not sent again

    run(with_server(answering(answer, hang_up=True), scenario))


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"\x00\xff\x16\x03\x01",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        reply(b"\x1f\x8b\x08", headers=("Content-Encoding: gzip",)),
    ],
    ids=["text", "bytes", "upgrade", "negative", "two lengths", "length and chunks", "bare newlines", "gzip"],
)
def test_request_when_answer_is_not_plain_http_then_answer_is_lost(run: Run, answer: bytes) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(AnswerLost):
            await transport.request(POST)
        assert len(server.requests) == 1
        assert transport.open_count == 0

    run(with_server(answering(answer), scenario))


def test_request_when_headers_never_end_then_answer_is_lost_at_the_limit(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(b"HTTP/1.1 200 OK\r\n")
        for number in range(4_000):
            await conversation.say(f"X-{number}: {'y' * 100}\r\n".encode())

    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(AnswerLost, match="headers too long"):
            await transport.request(GET, timeouts=Timeouts(first_byte_s=5, whole_s=5))

    run(with_server(handler, scenario))


_CHUNK = b"400\r\n" + b"x" * 1024 + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [reply(b"x" * 5_000), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNK + _CHUNK],
    ids=["length", "chunked"],
)
def test_request_when_body_is_over_the_limit_then_answer_is_lost(run: Run, answer: bytes) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(AnswerLost, match="body too long"):
            await transport.request(GET, body_bytes_max=1_500)

    run(with_server(answering(answer), scenario))


def test_request_when_body_is_at_the_limit_then_returns_it(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        assert len((await transport.request(GET, body_bytes_max=5_000)).body) == 5_000

    run(with_server(answering(reply(b"x" * 5_000)), scenario))


def test_fault_37_request_when_no_first_byte_comes_then_answer_is_lost_in_that_time(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await asyncio.sleep(5)

    async def scenario(server: RawServer, transport: Transport) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(AnswerLost, match="no first byte"):
            await transport.request(POST)
        assert 0.25 < loop.time() - started < 2.0
        assert transport.open_count == 0

    run(with_server(handler, scenario))


def test_request_when_answer_drips_then_answer_is_lost_at_the_whole_limit(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        for byte in reply(b"x" * 500):
            await conversation.say(bytes([byte]))
            await asyncio.sleep(0.05)

    async def scenario(server: RawServer, transport: Transport) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(AnswerLost, match="no whole answer"):
            await transport.request(POST)
        assert 0.5 < loop.time() - started < 3.0

    run(with_server(handler, scenario))


def test_request_when_late_answer_of_one_given_up_arrives_then_it_answers_nobody_else(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        request = await conversation.request()
        if b"/slow" in request:
            await asyncio.sleep(0.5)
            await conversation.say(reply(b"slow"))
        else:
            await conversation.say(reply(b"quick"))

    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(AnswerLost):
            await transport.request(HttpRequest("GET", "/slow"))
        for _ in range(3):
            assert (await transport.request(GET)).body == b"quick"
            await asyncio.sleep(0.15)

    run(with_server(handler, scenario, connections_max=1))


def test_request_when_two_answers_come_for_one_then_the_second_is_dropped_with_the_connection(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        assert (await transport.request(GET)).body == b"1"
        assert (await transport.request(GET)).body == b"1"
        assert server.connections == 2

    run(with_server(answering(reply(b"1") + reply(b"2")), scenario))


def test_request_when_cancelled_after_the_write_then_connection_is_not_used_again(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await asyncio.sleep(0.1)
            await conversation.say(reply(b"%d" % conversation.index))

    async def scenario(server: RawServer, transport: Transport) -> None:
        task = asyncio.create_task(transport.request(GET))
        await server.heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await transport.request(GET)).body == b"1"

    run(with_server(handler, scenario, connections_max=1))


# --- requests that never left ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://127.0.0.1:{port}", "connect_failed"), ("http://no-such-host.invalid:{port}", "name_failed")],
)
def test_fault_36_request_when_venue_cannot_be_reached_then_not_sent(run: Run, url: str, code: str) -> None:
    async def scenario() -> None:
        transport = Transport(url.format(port=free_port()), timeouts=QUICK)
        with pytest.raises(NotSent) as caught:
            await transport.request(POST)
        assert caught.value.code == code
        assert transport.open_count == 0
        await transport.close()

    run(scenario())


def test_request_when_connect_hangs_then_not_sent_in_time(run: Run) -> None:
    async def scenario() -> None:
        # A backlog that is full: the kernel answers no SYN.
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        transport = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeouts=Timeouts(connect_s=0.2))
        try:
            with pytest.raises(NotSent):
                await transport.request(POST)
        finally:
            await transport.close()
            for each in (*fillers, listener):
                each.close()

    run(scenario())


def test_request_when_before_write_says_no_then_not_a_byte_leaves(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(NotSent) as caught:
            await transport.request(POST, before_write=lambda: False)
        assert caught.value.code == "not_allowed"
        await transport.request(GET)
        assert [request.split(b" ")[0] for request in server.requests] == [b"GET"]
        assert server.connections == 1  # the connection was good and is kept

    run(with_server(answering(reply(b"{}")), scenario))


def test_request_when_before_write_is_asked_then_connection_is_already_open(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        seen: list[int] = []

        def look() -> bool:
            seen.append(transport.open_count)
            return True

        await transport.request(POST, before_write=look)
        assert seen == [1]

    run(with_server(answering(reply(b"{}")), scenario))


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/x\r\nEvil: 1"),
        HttpRequest("GET", "/x y"),
        HttpRequest("GET", "no-slash"),
        HttpRequest("GET", "/ü"),
        HttpRequest("GET", "/", (("X-Key", "a\r\nEvil: 1"),)),
        HttpRequest("GET", "/", (("X Key", "a"),)),
        HttpRequest("GE T", "/"),
    ],
)
def test_request_when_parts_could_break_the_message_then_not_sent(run: Run, request_: HttpRequest) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        with pytest.raises(NotSent) as caught:
            await transport.request(request_)
        assert caught.value.code == "malformed"
        assert server.connections == 0

    run(with_server(answering(reply(b"{}")), scenario))
