"""Questions on a scripted venue: no answer is never an empty answer."""

from typing import Any

import pytest
from tests.support.binance_values import (
    OUR_ID,
    T0,
    buy,
    instrument,
    order_body,
    ref,
    trade_body,
)
from tests.support.binance_venue import (
    HangUp,
    Says,
    Script,
    Signer,
    error,
    venue,
)
from tests.venues.binance.test_codec_market import account_body, restrictions, symbol_body

from tradewind.venues.base import PermissionSource
from tradewind.venues.errors import (
    CredentialRefused,
    OrderRefused,
    SymbolUnknown,
    VenueDown,
    VenueError,
)

ORDER = ("POST", "/api/v3/order")


# --- questions --------------------------------------------------------------------------------------


async def test_find_order_when_found_then_report() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/order", Says(order_body()))
        report = await client.find_order(Signer(), ref())
        assert report is not None
        assert report.venue_order_id == "28"
        assert script.calls("GET", "/api/v3/order")[0].params["origClientOrderId"] == OUR_ID


async def test_find_order_when_venue_says_it_does_not_exist_then_none() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/order", error(-2013, "Order does not exist."))
        assert await client.find_order(Signer(), ref()) is None
        assert len(script.calls("GET", "/api/v3/order")) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(-2013, "Order does not exist.", 500), VenueDown),
        (error(-2026, "Order was archived."), VenueDown),
        (error(-2015, "Invalid API-key, IP, or permissions for action.", 401), CredentialRefused),
        (error(-1121, "Invalid symbol."), SymbolUnknown),
        (Says(b"", status=404), VenueDown),
        (Says(b"", status=200), VenueDown),
        (Says({}, status=200), VenueDown),
        (Says(None, status=200), VenueDown),
        (Says(order_body(symbol="ETHUSDT")), VenueDown),
        (HangUp(), VenueDown),
    ],
)
async def test_fault_26_find_order_when_answer_is_no_answer_then_never_none(
    answer: Any, kind: type[VenueError]
) -> None:
    """order-protocol.md section 2."""
    async with venue() as (script, client):
        script.on("GET", "/api/v3/order", answer)
        with pytest.raises(kind):
            await client.find_order(Signer(), ref())


async def test_read_when_venue_fails_once_then_asked_again_with_a_new_signature() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/order", Says(b"", status=503), Says(order_body()))
        signer = Signer()
        assert await client.find_order(signer, ref()) is not None
        assert len(signer.requests) == 2


async def test_read_when_timestamp_is_refused_then_clock_is_measured_and_asked_once_more() -> None:
    async with venue() as (script, client):
        await client.server_time()
        script.clock_ahead_ms = 8_000  # our clock fell behind

        def judge(asked: Any) -> Says:
            if abs(int(asked.params["timestamp"]) - script.now_ms()) > 3_000:
                return error(-1021, "Timestamp for this request is outside of the recvWindow.")
            return Says(order_body())

        script.on("GET", "/api/v3/order", judge)
        assert await client.find_order(Signer(), ref()) is not None
        assert abs(client.venue_now_ms() - script.now_ms()) < 500


async def test_open_orders_when_symbol_is_given_or_not_then_asked_so() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/openOrders", Says([order_body(status="NEW", executedQty="0")]))
        assert len(await client.open_orders(Signer(), instrument())) == 1
        await client.open_orders(Signer(), None)
        symbols = [asked.params.get("symbol") for asked in script.calls("GET", "/api/v3/openOrders")]
        assert symbols == ["BTCUSDT", None]


async def test_orders_since_when_pages_are_full_then_all_are_read_from_a_second_before() -> None:
    async with venue() as (script, client):

        def page(asked: Any) -> Says:
            first = int(asked.params.get("orderId", 1))
            return Says([order_body(orderId=number) for number in range(first, min(first + 1000, 2301))])

        script.on("GET", "/api/v3/allOrders", page)
        found = await client.orders_since(Signer(), instrument(), T0)
        assert [int(report.venue_order_id) for report in found] == list(range(1, 2301))
        calls = script.calls("GET", "/api/v3/allOrders")
        assert calls[0].params["startTime"] == str(T0 - 1_000)
        assert [asked.params.get("orderId") for asked in calls] == [None, "1001", "2001"]


async def test_orders_since_when_pages_never_end_then_venue_down_and_not_a_part() -> None:
    async with venue() as (script, client):
        rows = [order_body(orderId=number) for number in range(1000)]
        script.on("GET", "/api/v3/allOrders", Says(rows))
        with pytest.raises(VenueDown) as caught:
            await client.orders_since(Signer(), instrument(), T0)
        assert caught.value.code == "too_many_rows"


async def test_fills_when_asked_for_an_order_then_by_its_id() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/myTrades", Says([trade_body(56), trade_body(57)]))
        found = await client.fills(Signer(), instrument(), venue_order_id=ref("28").venue_order_id, since_ms=None)
        assert [fill.fill_id for fill in found] == ["56", "57"]
        assert script.calls("GET", "/api/v3/myTrades")[0].params["orderId"] == "28"


# --- account, key, test order -----------------------------------------------------------------------


async def test_account_when_read_then_snapshot() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/account", Says(account_body()))
        snapshot = await client.account(Signer())
        assert snapshot.venue_user_id == "354937868"
        assert script.calls("GET", "/api/v3/account")[0].params["omitZeroBalances"] == "true"


async def test_permissions_when_venue_names_them_then_verified() -> None:
    async with venue() as (script, client):
        script.on("GET", "/sapi/v1/account/apiRestrictions", Says(restrictions(enableWithdrawals=True)))
        found = await client.permissions(Signer())
        assert (found.can_withdraw, found.source) == (True, PermissionSource.VERIFIED)


def without_sapi(script: Script, test_answer: Any) -> None:
    script.on("GET", "/api/v3/account", Says(account_body()))
    script.on("GET", "/api/v3/exchangeInfo", Says({"rateLimits": [], "symbols": [symbol_body()]}))
    script.on("POST", "/api/v3/order/test", test_answer)


@pytest.mark.parametrize(
    ("answer", "can_trade"),
    [
        (Says({}), True),
        (error(-1013, "Filter failure: NOTIONAL"), True),
        (error(-2015, "Invalid API-key, IP, or permissions for action.", 401), False),
    ],
)
async def test_permissions_when_venue_cannot_name_them_then_probed_and_unverified(
    answer: Says, can_trade: bool
) -> None:
    async with venue(has_sapi=False) as (script, client):
        without_sapi(script, answer)
        found = await client.permissions(Signer())
        assert (found.can_read, found.can_trade, found.can_withdraw) == (True, can_trade, False)
        assert found.source is PermissionSource.UNVERIFIED
        assert not client.capabilities.has_permission_reading
        assert script.calls("POST", "/api/v3/order/test")[0].params["quoteOrderQty"] == "10"


async def test_permissions_when_probe_gets_no_answer_then_venue_down_and_no_right_is_guessed() -> None:
    async with venue(has_sapi=False) as (script, client):
        without_sapi(script, Says(b"", status=503))
        with pytest.raises(VenueDown):
            await client.permissions(Signer())


async def test_permissions_when_secret_is_wrong_then_credential_refused() -> None:
    for has_sapi in (True, False):
        async with venue(has_sapi=has_sapi) as (script, client):
            wrong = error(-1022, "Signature for this request is not valid.")
            script.on("GET", "/sapi/v1/account/apiRestrictions", wrong)
            script.on("GET", "/api/v3/account", wrong)
            with pytest.raises(CredentialRefused) as caught:
                await client.permissions(Signer())
            assert caught.value.code == "bad_signature"


async def test_test_order_when_refused_then_the_venues_reason_and_it_may_be_tried_again() -> None:
    async with venue() as (script, client):
        script.on(
            "POST", "/api/v3/order/test", Says(b"", status=503), error(-1013, "Filter failure: LOT_SIZE"), Says({})
        )
        with pytest.raises(OrderRefused) as caught:
            await client.test_order(Signer(), buy())
        assert caught.value.code == "quantity_not_allowed"
        await client.test_order(Signer(), buy())
        assert script.calls(*ORDER) == []


async def test_read_when_timestamp_is_refused_whatever_we_measure_then_said_so_and_not_asked_for_ever() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/order", error(-1021, "Timestamp for this request is outside of the recvWindow."))
        with pytest.raises(VenueDown) as caught:
            await client.find_order(Signer(), ref())
        assert caught.value.code == "code_-1021"
        assert len(script.calls("GET", "/api/v3/order")) == 2
