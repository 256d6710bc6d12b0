"""Public market streams: frames, control messages, pace."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.support.sim_binance import Sim, WsClient, running_sim

from tradewind.sim.binance_streams import is_stream_name


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        yield running


async def test_raw_stream_sends_bare_trades(sim: Sim) -> None:
    async with sim.stream("/ws/btcusdt@trade") as ws:
        await sim.price("BTCUSDT", "80000")
        trade = await ws.event()
    assert list(trade) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
    assert (trade["e"], trade["s"], trade["p"]) == ("trade", "BTCUSDT", "80000.00000000")


async def test_combined_stream_wraps_every_payload(sim: Sim) -> None:
    async with sim.stream("/stream?streams=btcusdt@bookTicker/ethusdt@aggTrade") as ws:
        await sim.price("BTCUSDT", "80000")
        best = await ws.event()
        await sim.price("ETHUSDT", "2400")
        aggregate = await ws.event()
    assert best["stream"] == "btcusdt@bookTicker"
    assert list(best["data"]) == ["u", "s", "b", "B", "a", "A"]
    assert float(best["data"]["b"]) < 80000 < float(best["data"]["a"])
    assert (aggregate["stream"], aggregate["data"]["p"]) == ("ethusdt@aggTrade", "2400.00000000")


async def test_subscriptions_are_added_listed_and_taken_away(sim: Sim) -> None:
    async with sim.stream("/ws") as ws:
        assert await ws.call("SUBSCRIBE", ["btcusdt@trade", "ethusdt@trade"]) == {"result": None, "id": 1}
        assert (await ws.call("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade", "ethusdt@trade"]
        assert (await ws.call("UNSUBSCRIBE", ["ethusdt@trade"]))["result"] is None
        await sim.price("ETHUSDT", "2400")
        await sim.price("BTCUSDT", "80000")
        assert (await ws.event())["s"] == "BTCUSDT"


async def test_combined_property_switches_the_frame(sim: Sim) -> None:
    async with sim.stream("/ws/btcusdt@trade") as ws:
        assert (await ws.call("GET_PROPERTY", ["combined"]))["result"] is False
        assert (await ws.call("SET_PROPERTY", ["combined", True]))["result"] is None
        await sim.price("BTCUSDT", "80000")
        assert (await ws.event())["stream"] == "btcusdt@trade"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"method":"SHOUT","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["BTCUSDT@trade"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0),
        ("[1,", 3),
    ],
)
async def test_bad_control_message_is_refused_with_its_small_code(sim: Sim, frame: str, code: int) -> None:
    async with sim.stream("/ws") as ws:
        await ws.ws.send_str(frame)
        assert (await ws.receive())["code"] == code


async def test_more_than_five_messages_a_second_end_the_connection(sim: Sim) -> None:
    async with sim.stream("/ws") as ws:
        for index in range(15):
            await ws.ws.send_str(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": index}))
        answers = await answers_until_closed(ws)
    # The second may turn in the middle, so two rounds of five can pass at most.
    assert answers <= 10


async def answers_until_closed(ws: WsClient) -> int:
    answers = 0
    while True:
        try:
            await ws.receive()
        except ConnectionError:
            return answers
        answers += 1


async def first_of(ws: WsClient, kind: str) -> Any:
    while True:
        event = await ws.event()
        if event.get("e") == kind:
            return event


@pytest.mark.parametrize(
    ("stream", "kind", "fields"),
    [
        ("btcusdt@miniTicker", "24hrMiniTicker", "e E s c o h l v q"),
        ("btcusdt@ticker", "24hrTicker", "e E s p P w x c Q b B a A o h l v q O C F L n"),
        ("btcusdt@kline_1m", "kline", "e E s k"),
        ("btcusdt@depth@100ms", "depthUpdate", "e E s U u b a"),
    ],
)
async def test_timed_stream_has_the_documented_fields(sim: Sim, stream: str, kind: str, fields: str) -> None:
    async with sim.stream(f"/ws/{stream}") as ws:
        await sim.price("BTCUSDT", "80000")
        event = await first_of(ws, kind)
    assert list(event) == fields.split()
    if kind == "kline":
        assert list(event["k"]) == ["t", "T", "s", "i", "f", "L", "o", "c", "h", "l", "v", "n", "x", "q", "V", "Q", "B"]


async def test_candle_is_sent_as_closed_although_nothing_trades_any_more(sim: Sim) -> None:
    sim.clock.offset_ms += 60_000 - sim.clock() % 60_000
    async with sim.stream("/ws/btcusdt@kline_1m") as ws:
        await sim.price("BTCUSDT", "80000")
        candle = (await ws.event())["k"]
        assert (candle["x"], candle["c"], candle["n"]) == (False, "80000.00000000", 1)
        sim.clock.offset_ms += 61_000
        closed = (await ws.event())["k"]
    assert (closed["x"], closed["t"]) == (True, candle["t"])
    assert closed["T"] == closed["t"] + 59_999


async def test_array_ticker_holds_changed_symbols_only(sim: Sim) -> None:
    async with sim.stream("/ws/!miniTicker@arr") as ws:
        await sim.price("BTCUSDT", "80000")
        tickers = await ws.event()
    assert [ticker["s"] for ticker in tickers] == ["BTCUSDT"]


async def test_partial_depth_carries_no_symbol(sim: Sim) -> None:
    async with sim.stream("/ws/btcusdt@depth5@100ms") as ws:
        await sim.price("BTCUSDT", "80000")
        depth = await ws.event()
    assert list(depth) == ["lastUpdateId", "bids", "asks"]
    assert len(depth["bids"]) == 5


async def test_depth_differences_build_the_book_the_snapshot_shows(sim: Sim) -> None:
    async with sim.stream("/ws/btcusdt@depth@100ms") as ws:
        await sim.price("BTCUSDT", "80000")
        first = await ws.event()
        snapshot = (await sim.public("/api/v3/depth", symbol="BTCUSDT", limit=5000)).json
        await sim.price("BTCUSDT", "80100")
        second = await ws.event()
        after = (await sim.public("/api/v3/depth", symbol="BTCUSDT", limit=5000)).json
    assert first["u"] == snapshot["lastUpdateId"]
    assert second["U"] <= snapshot["lastUpdateId"] + 1 <= second["u"]
    bids = dict(snapshot["bids"])
    bids.update(second["b"])
    left = sorted(([p, q] for p, q in bids.items() if float(q)), key=lambda level: -float(level[0]))
    assert left == after["bids"]


async def test_microseconds_on_a_socket_are_refused_and_not_ignored(sim: Sim) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with sim.stream("/ws/btcusdt@trade?timeUnit=MICROSECOND"):
            pass
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("btcusdt@trade", True),
        ("nothing@trade", True),
        ("btcusdt@kline_1m", True),
        ("btcusdt@kline_7m", False),
        ("btcusdt@depth7", False),
        ("btcusdt", False),
        ("BTCUSDT@trade", False),
        ("!miniTicker@arr", True),
        ("!ticker@arr", False),
    ],
)
def test_stream_names(name: str, known: bool) -> None:
    assert is_stream_name(name) is known


async def test_muted_market_is_silent_and_drop_cuts_it(sim: Sim) -> None:
    async with sim.stream("/ws/btcusdt@trade") as ws:
        await sim.fault("stream_mute", stream="market")
        await sim.price("BTCUSDT", "80000")
        assert (await ws.call("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade"]
        assert ws.events == []
        await sim.fault("stream_drop", stream="market")
        with pytest.raises(ConnectionError):
            await ws.event()


async def test_tape_plays_prints_into_the_streams() -> None:
    async with (
        running_sim(paused=False, speed=Decimal(50)) as sim,
        sim.stream("/ws/btcusdt@trade") as ws,
    ):
        trades = [await ws.event() for _ in range(5)]
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[0]["t"] + 5))
    assert all(trade["e"] == "trade" for trade in trades)
