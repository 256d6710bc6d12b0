"""Orders on a scripted venue: what is sent, what an answer comes to, and where the boundary lies."""

import asyncio
from typing import Any

import pytest
from tests.support.binance_values import (
    OUR_ID,
    STOP_ID,
    TARGET_ID,
    buy,
    filled_body,
    leg_body,
    list_body,
    oco,
    ref,
)
from tests.support.binance_venue import (
    API_KEY,
    HangUp,
    Says,
    Script,
    Signer,
    error,
    quick_options,
    venue,
    window,
)
from tests.venues.binance.test_codec_market import symbol_body

from tradewind.core.instrument import Environment
from tradewind.core.order import OrderState
from tradewind.venues.base import SignPurpose
from tradewind.venues.binance.client import BinanceClient
from tradewind.venues.errors import (
    CredentialRefused,
    NotExecuted,
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    VenueError,
)

ORDER = ("POST", "/api/v3/order")


def now_body(script: Script, **changes: Any) -> dict[str, Any]:
    return filled_body(transactTime=script.now_ms(), **changes)


# --- placing ----------------------------------------------------------------------------------------


async def test_place_when_accepted_then_ack_with_fills_and_one_request() -> None:
    async with venue() as (script, client):
        script.on(*ORDER, lambda asked: Says(now_body(script)))
        signer = Signer()
        ack = await client.place(signer, buy(), window(client))
        assert ack.reports[0].state is OrderState.FILLED
        assert len(ack.fills) == 2
        (asked,) = script.calls(*ORDER)
        assert asked.params["newClientOrderId"] == OUR_ID
        assert asked.params["recvWindow"] == "3000"
        assert asked.params["timestamp"] == str(ack.signed_at_ms)
        assert asked.headers["x-mbx-apikey"] == API_KEY
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        (request,) = signer.requests
        assert (request.purpose, request.order_id) == (SignPurpose.ORDER, buy().order_id)
        assert request.payload == asked.signed


async def test_place_when_accepted_then_venue_time_is_confirmed_by_it() -> None:
    async with venue() as (script, client):
        await client.server_time()
        await asyncio.sleep(0.02)
        stated = script.now_ms()
        script.on(*ORDER, Says(filled_body(transactTime=stated)))
        await client.place(Signer(), buy(), window(client))
        assert client.confirmed_venue_ms() == stated


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (error(-2010, "Account has insufficient balance for requested action."), OrderRefused, "insufficient_balance"),
        (error(-2010, "Order would trigger immediately."), OrderRefused, "would_trigger_immediately"),
        (error(-1013, "Filter failure: MAX_NUM_ALGO_ORDERS"), OrderRefused, "no_algo_slot"),
        (error(-1121, "Invalid symbol."), OrderRefused, "symbol_unknown"),
        (error(-2010, "Duplicate order sent."), OutcomeUnknown, "duplicate_id"),
        (error(-2010, "Something of 2027."), OutcomeUnknown, "code_-2010"),
        (error(-1007, "Timeout waiting for response from backend server.", 504), OutcomeUnknown, "code_-1007"),
        (error(-1021, "Timestamp for this request is outside of the recvWindow."), NotExecuted, "timestamp"),
        (error(-1008, "Server is currently overloaded", 503), NotExecuted, "server_busy"),
        (error(-2015, "Invalid API-key, IP, or permissions for action.", 401), CredentialRefused, "key_refused"),
        (error(-1022, "Signature for this request is not valid."), CredentialRefused, "bad_signature"),
        (Says(b"<html>503</html>", status=503), OutcomeUnknown, "http_503"),
        (Says(b"<html>400</html>", status=400), OutcomeUnknown, "http_400"),
        (Says(b"", status=200), OutcomeUnknown, "not_understood"),
        (Says(b"<html>ok</html>", status=200), OutcomeUnknown, "not_understood"),
        (Says({}, status=200), OutcomeUnknown, "not_understood"),
        (Says(filled_body(), status=202), OutcomeUnknown, "http_202"),
        (Says(filled_body(clientOrderId="other")), OutcomeUnknown, "not_understood"),
        (HangUp(), OutcomeUnknown, "answer_lost"),
        (Says(filled_body(), delay_s=2), OutcomeUnknown, "answer_lost"),
    ],
)
async def test_place_when_not_accepted_then_what_the_answer_proves_and_never_a_second_request(
    answer: Any, kind: type[VenueError], code: str
) -> None:
    async with venue() as (script, client):
        script.on(*ORDER, answer)
        with pytest.raises(VenueError) as caught:
            await client.place(Signer(), buy(), window(client))
        assert type(caught.value) is kind
        assert caught.value.code == code
        assert caught.value.signed_at_ms is not None
        assert len(script.calls(*ORDER)) == 1


async def test_place_when_late_then_not_sent_and_not_signed() -> None:
    async with venue() as (script, client):
        signer = Signer()
        with pytest.raises(NotSent) as caught:
            await client.place(signer, buy(), window(client, within_ms=-1))
        assert caught.value.code == "late"
        assert (script.asked, signer.requests) == ([], [])


async def test_place_when_latch_is_shut_then_not_sent_and_not_signed() -> None:
    async with venue() as (script, client):
        signer = Signer()
        with pytest.raises(NotSent) as caught:
            await client.place(signer, buy(), window(client, is_open=lambda: False))
        assert caught.value.code == "stopped"
        assert (script.asked, signer.requests) == ([], [])


async def test_place_when_latch_shuts_after_signing_then_not_a_byte_leaves() -> None:
    """order-protocol.md section 3."""
    async with venue() as (script, client):
        signer, is_open = Signer(), [True]
        signer.before_sign = is_open.clear
        with pytest.raises(NotSent) as caught:
            await client.place(signer, buy(), window(client, is_open=lambda: bool(is_open)))
        assert caught.value.code == "stopped"
        assert len(signer.requests) == 1
        assert script.asked == []
        # What never left costs nothing.
        now = client.venue_now_ms()
        assert client._rest.budget.used_weight() == 0
        assert [window.used(now) for window in client._rest.counts._accounts[signer.account_id]] == [0, 0]


async def test_place_when_time_runs_out_between_signing_and_writing_then_not_a_byte_leaves() -> None:
    """order-protocol.md section 3."""
    async with venue() as (script, client):

        class SlowSigner(Signer):
            async def sign(self, request: Any) -> str:
                signature = await super().sign(request)
                await asyncio.sleep(0.15)
                return signature

        with pytest.raises(NotSent) as caught:
            await client.place(SlowSigner(), buy(), window(client, within_ms=100))
        assert caught.value.code == "late"
        assert script.asked == []


async def test_place_when_account_is_of_another_environment_then_not_sent() -> None:
    """order-protocol.md section 7."""
    async with venue() as (script, client):
        with pytest.raises(NotSent) as caught:
            await client.place(Signer(environment=Environment.LIVE), buy(), window(client))
        assert caught.value.code == "wrong_environment"
        assert script.asked == []


async def test_place_when_key_has_odd_characters_then_credential_refused_and_key_not_in_the_text() -> None:
    async with venue() as (script, client):
        signer = Signer()
        signer.key = "abc\r\nEvil: header"
        with pytest.raises(CredentialRefused) as caught:
            await client.place(signer, buy(), window(client))
        assert "Evil" not in str(caught.value)
        assert script.asked == []


async def test_place_when_venue_is_not_there_then_not_sent() -> None:
    async with venue() as (_, client):
        pass  # the server is gone
    dead = BinanceClient(Environment.PAPER, client._profile, client._clock, quick_options())
    with pytest.raises(NotSent) as caught:
        await dead.place(Signer(), buy(), window(dead))
    assert caught.value.code == "connect_failed"
    await dead.close()


async def test_place_list_when_accepted_then_both_legs_and_order_count_two() -> None:
    async with venue() as (script, client):
        script.on("POST", "/api/v3/orderList/oco", Says(list_body()))
        signer = Signer()
        ack = await client.place_list(signer, oco(), window(client))
        assert [report.client_order_id for report in ack.reports] == [TARGET_ID, STOP_ID]
        (asked,) = script.calls("POST", "/api/v3/orderList/oco")
        assert asked.params["belowType"] == "STOP_LOSS"
        assert client._rest.counts._accounts[signer.account_id][0].used(client.venue_now_ms()) == 2


async def test_place_list_when_symbol_lacks_stop_market_then_stop_limit() -> None:
    async with venue() as (script, client):
        types = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT"]
        script.on(
            "GET",
            "/api/v3/exchangeInfo",
            Says({"rateLimits": [], "symbols": [symbol_body(symbol="BTCUSDT", orderTypes=types)]}),
        )
        script.on("POST", "/api/v3/orderList/oco", Says(list_body()))
        await client.instruments()
        await client.place_list(Signer(), oco(), window(client))
        assert script.calls("POST", "/api/v3/orderList/oco")[0].params["belowType"] == "STOP_LOSS_LIMIT"


# --- cancelling -------------------------------------------------------------------------------------


async def test_cancel_when_order_ended_then_reports() -> None:
    async with venue() as (script, client):
        body = filled_body(status="CANCELED", origClientOrderId=OUR_ID, clientOrderId="x")
        script.on("DELETE", "/api/v3/order", Says(body))
        signer = Signer()
        (report,) = await client.cancel(signer, ref("28"))
        assert report.state is OrderState.CANCELED
        assert signer.requests[0].purpose is SignPurpose.CANCEL
        assert script.calls("DELETE", "/api/v3/order")[0].params["orderId"] == "28"


async def test_cancel_when_leg_of_a_list_then_the_list_is_cancelled() -> None:
    async with venue() as (script, client):
        legs = [leg_body("x", 10, "STOP_LOSS", status="CANCELED", origClientOrderId=STOP_ID)]
        script.on("DELETE", "/api/v3/orderList", Says(list_body(orderReports=legs)))
        await client.cancel(Signer(), ref("10", client_order_id=STOP_ID, list_client_id="twl"))
        assert script.calls("DELETE", "/api/v3/orderList")[0].params["listClientOrderId"] == "twl"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (error(-2011, "Unknown order sent."), OrderRefused, "nothing_to_cancel"),
        (error(-2011, "Something of 2027."), OutcomeUnknown, "code_-2011"),
        (error(-1021, "Timestamp for this request is outside of the recvWindow."), NotExecuted, "timestamp"),
        (HangUp(), OutcomeUnknown, "answer_lost"),
        (Says(filled_body(orderId=99, status="CANCELED", clientOrderId="other")), OutcomeUnknown, "not_understood"),
    ],
)
async def test_cancel_when_not_done_then_what_the_answer_proves(answer: Any, kind: type[VenueError], code: str) -> None:
    async with venue() as (script, client):
        script.on("DELETE", "/api/v3/order", answer)
        with pytest.raises(kind) as caught:
            await client.cancel(Signer(), ref("28"))
        assert caught.value.code == code
        assert len(script.calls("DELETE", "/api/v3/order")) == 1
