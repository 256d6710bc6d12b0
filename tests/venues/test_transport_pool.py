"""Connections that are kept, shared, waited for and given up, on both event loops."""

import asyncio
import os
import socket
import struct

import pytest
from tests.support.raw_server import Conversation, RawServer, reply
from tests.support.transport_scenes import GET, POST, QUICK, Run, answering, free_port, with_server

from tradewind.venues.errors import NotSent
from tradewind.venues.transport import AnswerLost, HttpReply, HttpRequest, Timeouts, Transport

# --- kept connections --------------------------------------------------------------------------------


def test_request_when_kept_connection_was_closed_before_the_write_then_it_is_replaced(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(reply(b"{}"))
        conversation.writer.close()

    async def scenario(server: RawServer, transport: Transport) -> None:
        for _ in range(5):
            assert (await transport.request(POST)).body == b"{}"
            await asyncio.sleep(0.02)
        assert server.connections == 5
        assert len(server.requests) == 5

    run(with_server(handler, scenario))


def test_request_when_close_lies_unread_in_the_kernel_then_connection_is_replaced(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        while True:
            if await conversation.request() and conversation.index == 0:
                await conversation.say(reply(b"first"))
            else:
                await conversation.say(reply(b"again"))

    async def scenario(server: RawServer, transport: Transport) -> None:
        assert (await transport.request(POST)).body == b"first"
        # Close at the server's end without letting our loop turn: only the kernel knows.
        _close_peer_of(transport)
        assert (await transport.request(POST)).body == b"again"
        assert server.connections == 2

    run(with_server(handler, scenario))


def _close_peer_of(transport: Transport) -> None:
    """Shut down the far end of the only idle connection, found among this process's sockets."""
    (connection,) = transport._pool._idle
    assert connection._transport is not None
    own = connection._transport.get_extra_info("sockname")
    for fd in range(3, 256):
        try:
            probe = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        with probe:
            try:
                is_peer = probe.family == socket.AF_INET and probe.getpeername() == own
            except OSError:
                continue
            if is_peer:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                probe.shutdown(socket.SHUT_RDWR)
                return
    raise AssertionError("the far end was not found")


def test_request_when_kept_connection_dies_after_the_write_then_answer_is_lost_and_nothing_is_resent(run: Run) -> None:
    """order-protocol.md section 3."""

    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(reply(b"{}"))
        await conversation.request()
        conversation.hang_up()

    async def scenario(server: RawServer, transport: Transport) -> None:
        await transport.request(POST)
        with pytest.raises(AnswerLost):
            await transport.request(POST)
        assert len(server.requests) == 2
        assert server.connections == 1

    run(with_server(handler, scenario))


def test_request_when_idle_connection_says_something_unasked_then_it_is_dropped(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.say(reply(b"ok"))
        if conversation.index == 0:
            await asyncio.sleep(0.02)
            await conversation.say(reply(b"forged"))
        await conversation.request()
        await conversation.say(reply(b"ok"))

    async def scenario(server: RawServer, transport: Transport) -> None:
        assert (await transport.request(GET)).body == b"ok"
        await asyncio.sleep(0.1)
        assert (await transport.request(GET)).body == b"ok"
        assert server.connections == 2

    run(with_server(handler, scenario))


# --- the pool ----------------------------------------------------------------------------------------


def test_request_when_many_run_then_connections_stay_within_the_limit_and_all_are_answered(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        while True:
            request = await conversation.request()
            await asyncio.sleep(0.001)
            await conversation.say(reply(request.split(b" ")[1]))

    async def scenario(server: RawServer, transport: Transport) -> None:
        targets = [f"/{number}" for number in range(200)]
        answers = await asyncio.gather(*(transport.request(HttpRequest("GET", target)) for target in targets))
        assert [answer.body.decode() for answer in answers] == targets
        assert server.connections <= 8
        assert transport.waiting_count == 0

    run(with_server(handler, scenario, connections_max=8))


async def _hold(conversation: Conversation) -> None:
    await conversation.request()
    await asyncio.sleep(0.25)
    await conversation.say(reply(b"{}"))
    while True:
        await conversation.request()
        await conversation.say(reply(b"{}"))


def test_request_when_all_connections_are_busy_then_lower_lanes_are_served_first(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        async def ask(name: str, lane: int) -> None:
            await transport.request(HttpRequest("GET", f"/{name}"), lane=lane)

        first = asyncio.create_task(ask("first", 3))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(ask(name, lane)) for name, lane in (("read", 3), ("entry", 1), ("exit", 0))]
        await asyncio.gather(first, *rest)
        order = [request.split(b" ")[1] for request in server.requests]
        assert order == [b"/first", b"/exit", b"/entry", b"/read"]

    run(with_server(_hold, scenario, connections_max=1))


def test_request_when_too_many_wait_then_not_sent_at_once(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        tasks = [asyncio.create_task(transport.request(GET)) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(NotSent) as caught:
            await transport.request(GET)
        assert caught.value.code == "pool_full"
        await asyncio.gather(*tasks)

    run(with_server(_hold, scenario, connections_max=1, waiters_max=2))


def test_request_when_waiting_takes_too_long_then_not_sent(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        first = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.05)
        with pytest.raises(NotSent) as caught:
            await transport.request(POST, timeouts=Timeouts(wait_s=0.05))
        assert caught.value.code == "pool_wait"
        await first
        assert len(server.requests) == 1
        assert transport.waiting_count == 0

    run(with_server(_hold, scenario, connections_max=1))


def test_request_when_it_waits_and_is_cancelled_then_the_connection_goes_to_the_next_and_it_never_leaves(
    run: Run,
) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        first = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.02)
        doomed = asyncio.create_task(transport.request(POST))
        last = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.02)
        assert transport.waiting_count == 2
        doomed.cancel()
        assert (await first).status == (await last).status == 200
        assert doomed.cancelled()
        assert [line.split(b" ")[0] for line in server.requests] == [b"GET", b"GET"]
        assert (server.connections, transport.open_count, transport.waiting_count) == (1, 1, 0)

    run(with_server(_hold, scenario, connections_max=1))


def test_request_when_the_only_connection_breaks_then_its_place_goes_to_whoever_waits(run: Run) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        if conversation.index == 0:
            await asyncio.sleep(0.05)
            conversation.hang_up()
        else:
            await conversation.say(reply(b"{}"))

    async def scenario(server: RawServer, transport: Transport) -> None:
        first = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.02)
        doomed = asyncio.create_task(transport.request(POST))
        last = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.01)
        doomed.cancel()
        with pytest.raises(AnswerLost):
            await first
        assert (await last).body == b"{}"
        assert (server.connections, transport.open_count) == (2, 1)

    run(with_server(handler, scenario, connections_max=1))


def test_request_when_thousands_wait_and_are_stopped_then_all_are_not_sent_and_the_connection_is_kept(
    run: Run,
) -> None:
    """order-protocol.md section 6: what is claimed and not yet written becomes NotSent, however much of it."""

    async def scenario(server: RawServer, transport: Transport) -> None:
        is_open = [True]
        first = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.02)
        waiting = [asyncio.create_task(transport.request(POST, before_write=lambda: is_open[0])) for _ in range(3_000)]
        await asyncio.sleep(0)
        is_open[0] = False
        assert (await first).status == 200
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, NotSent) and each.code == "not_allowed" for each in ended)
        assert (await transport.request(GET)).status == 200
        assert (len(server.requests), server.connections) == (2, 1)

    run(with_server(_hold, scenario, connections_max=1))


def test_request_when_the_last_look_goes_wrong_then_it_is_told_and_the_connection_serves_the_next(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        def broken() -> bool:
            raise ValueError("a mistake of ours")

        first = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.02)
        doomed = asyncio.create_task(transport.request(POST, before_write=broken))
        last = asyncio.create_task(transport.request(GET))
        assert (await first).status == 200
        with pytest.raises(ValueError, match="a mistake of ours"):
            await doomed
        assert (await last).status == 200
        assert [line.split(b" ")[0] for line in server.requests] == [b"GET", b"GET"]
        assert transport.waiting_count == 0

    run(with_server(_hold, scenario, connections_max=1))


def test_answer_when_told_then_the_next_request_may_be_written_in_the_same_breath(run: Run) -> None:
    """An answer is told when everything that came with it was read: the next one is answered by its own."""

    async def handler(conversation: Conversation) -> None:
        while target := await conversation.request():
            await conversation.say(reply(target.split(b" ")[1]))

    async def scenario(server: RawServer, transport: Transport) -> None:
        heard: list[bytes] = []
        done = asyncio.Event()

        def told(result: HttpReply | Exception) -> None:
            assert isinstance(result, HttpReply)
            heard.append(result.body)
            if len(heard) == 50:
                done.set()

        for number in range(50):
            transport.dispatch(HttpRequest("GET", f"/{number}"), told)
        await done.wait()
        assert heard == [b"/%d" % number for number in range(50)]
        assert server.connections == 1

    run(with_server(handler, scenario, connections_max=1))


def test_request_when_venue_comes_back_after_failed_dials_then_slots_are_free_again(run: Run) -> None:
    async def scenario() -> None:
        port = free_port()
        transport = Transport(f"http://127.0.0.1:{port}", timeouts=QUICK, connections_max=2)
        failures = await asyncio.gather(*(transport.request(GET) for _ in range(6)), return_exceptions=True)
        assert all(isinstance(failure, NotSent) for failure in failures)
        assert transport.open_count == 0
        await transport.close()

    run(scenario())


def test_close_when_requests_are_on_their_way_then_they_end_and_later_ones_are_not_sent(run: Run) -> None:
    async def scenario(server: RawServer, transport: Transport) -> None:
        on_its_way = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(transport.request(GET))
        await asyncio.sleep(0.05)
        await transport.close()
        with pytest.raises(AnswerLost):
            await on_its_way
        with pytest.raises(NotSent):
            await waiting
        with pytest.raises(NotSent):
            await transport.request(GET)

    run(with_server(_hold, scenario, connections_max=1))


def test_dialed_socket_when_open_then_unsent_bytes_die_with_it(run: Run) -> None:
    """order-protocol.md section 3."""

    async def scenario(server: RawServer, transport: Transport) -> None:
        await transport.request(GET)
        (connection,) = transport._pool._idle
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 0)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000

    run(with_server(answering(reply(b"{}")), scenario))


def test_request_repr_when_it_holds_a_key_then_shows_neither_target_nor_headers() -> None:
    text = repr(HttpRequest("GET", "/x?signature=abc", (("X-MBX-APIKEY", "secret"),), b"signature=def"))
    assert "abc" not in text
    assert "secret" not in text
    assert "def" not in text
