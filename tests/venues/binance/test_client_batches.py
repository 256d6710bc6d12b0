"""Many orders at once: each has its own answer, and what nobody waits for any more never leaves."""

import asyncio
from typing import Any

from tests.support.binance_values import buy, filled_body
from tests.support.binance_venue import Says, Script, Signer, error, quick_options, venue, window

from tradewind.venues.base import Ack, Placement
from tradewind.venues.binance.client import BinanceClient
from tradewind.venues.errors import NotSent, OrderRefused

ORDER = ("POST", "/api/v3/order")


def _placements(client: BinanceClient, count: int) -> list[Placement]:
    return [
        Placement(Signer(f"a{n}"), buy(client_order_id=f"tw{n}", order_id=f"o{n}"), window(client))
        for n in range(count)
    ]


def _answer_all(script: Script, *, delay_s: float = 0.0) -> None:
    def answer(asked: Any) -> Says:
        name = asked.params["newClientOrderId"]
        if name == "tw2":
            return error(-2010, "Account has insufficient balance for requested action.")
        return Says(filled_body(clientOrderId=name, orderId=int(name.removeprefix("tw")) + 1), delay_s=delay_s)

    script.on(*ORDER, answer)


async def test_place_all_when_some_cannot_leave_or_are_refused_then_each_is_told_its_own_and_once() -> None:
    """order-protocol.md section 3: one account's failure never touches another."""
    async with venue() as (script, client):
        _answer_all(script)
        placements = _placements(client, 6)
        placements[1] = Placement(Signer("a1"), buy(client_order_id="tw1", spend=None), window(client))
        placements[3] = Placement(Signer("a3"), buy(client_order_id="tw3"), window(client, is_open=lambda: False))
        told: dict[Placement, list[Ack | Exception]] = {}
        await client.place_all(placements, lambda each, result: told.setdefault(each, []).append(result))
        (results,) = zip(*(told[each] for each in placements), strict=True)
        assert [type(each) for each in results] == [Ack, ValueError, OrderRefused, NotSent, Ack, Ack]
        sent = [asked.params["newClientOrderId"] for asked in script.asked if asked.path == ORDER[1]]
        assert sorted(sent) == ["tw0", "tw2", "tw4", "tw5"]


async def test_place_all_when_cancelled_then_what_waits_never_leaves_and_its_budget_is_free_again() -> None:
    """order-protocol.md section 3: a sender that is gone sends nothing more."""
    async with venue(options=quick_options(connections_max=1)) as (script, client):
        _answer_all(script, delay_s=0.1)
        told: list[Any] = []
        first = asyncio.Event()

        def heard(_placement: Placement, result: Ack | Exception) -> None:
            told.append(result)
            first.set()

        batch = asyncio.create_task(client.place_all(_placements(client, 2), heard))
        more = asyncio.create_task(client.place_all(_placements(client, 5)[3:], heard))
        await first.wait()
        batch.cancel()
        more.cancel()
        await asyncio.gather(batch, more, return_exceptions=True)
        left = len([asked for asked in script.asked if asked.path == ORDER[1]])
        # Whatever still were to leave would leave before this is answered: there is one connection.
        await client.server_time()
        assert len([asked for asked in script.asked if asked.path == ORDER[1]]) == left
        assert left < 4
        assert client._rest.budget._windows[0].in_flight == 0
