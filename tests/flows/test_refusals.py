"""What a user does wrong gets a clear answer with the right status, and nothing is stored that should not be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from tests.support.platform import World, open_alert, world

from tradewind.core.plan import PlanName
from tradewind.infra.db import Db


def _rows(place: World, table: str) -> int:
    db = Db.open(place.settings.database_url)
    try:
        return int(db.read_now(lambda tx: tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()))
    finally:
        db.close()


async def test_alerts_when_wrong_then_clear_answer_and_nothing_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        old = (datetime.now(UTC) - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
        cases: list[tuple[Any, int, str]] = [
            (open_alert("NOSUCHCOINUSDT"), 422, "unknown_symbol"),
            (open_alert("BTCUSDT.P"), 422, "derivative_symbol"),
            ({**open_alert(), "sent_at": old}, 422, "stale_alert"),
            ({**open_alert(), "action": "{{strategy.order.action}}"}, 422, "unresolved_placeholder"),
        ]
        for body, status, code in cases:
            got, answer = await place.alert(body)
            assert (got, answer["code"]) == (status, code), answer
            assert len(answer["detail"]) > 20
        got, answer = await place.alert(None, raw=b'{"ticker":"BTCUSDT","action":"buy",}')
        assert got == 400, answer
        got, answer = await place.alert(open_alert(), token="twh_" + "A" * 43)
        assert (got, answer["code"]) == (404, "webhook_not_found")
        got, answer = await place.alert(None, raw=b"x" * (64 * 1024 + 1))
        assert got == 413, answer
        assert _rows(place, "inbox") == 0
        assert _rows(place, "orders") == 0
        assert await place.venue_orders(person.uid) == []


async def test_fault_13_alert_when_sent_twice_then_same_id_and_one_order(tmp_path: Path) -> None:
    """reliability.md fault 13."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        alert = open_alert()
        first, second = await place.alert(alert), await place.alert(alert)
        assert (first[0], second[0]) == (202, 202)
        assert first[1]["id"] == second[1]["id"]
        assert (first[1]["duplicate"], second[1]["duplicate"]) == (False, True)
        await place.settled(first[1]["id"])
        assert _rows(place, "inbox") == 1
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_alert_when_same_id_with_other_content_then_409(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        place.people([PlanName.PRO])
        await place.start_platform()
        assert (await place.alert(open_alert(id="a-1")))[0] == 202
        status, answer = await place.alert(open_alert("ETHUSDT", id="a-1"))
        assert (status, answer["code"]) == (409, "id_with_other_content")


async def test_keys_when_unfit_then_refused_each_with_its_own_words_and_nothing_stored(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person, clumsy = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        withdraw = await place.issue_key(permissions={"withdraw": True}, ip_list=["127.0.0.1"])
        no_trade = await place.issue_key(permissions={"trading": False})
        wrong = {**await place.issue_key(), "secret": "x" * 64}
        unknown = {"api_key": "A" * 64, "secret": "b" * 64}
        elsewhere = await place.issue_key(ip_list=["203.0.113.7"])
        codes = set()
        for key in (withdraw, no_trade, wrong, unknown, elsewhere):
            status, answer = await place.add_key(person, key)
            assert 400 <= status < 500, answer
            assert key["secret"] not in str(answer)
            codes.add((answer["code"], answer["detail"]))
        assert len({code for code, _ in codes}) >= 4, codes
        assert _rows(place, "accounts") == 0
        assert _rows(place, "credentials") == 0
        status, answer = await place.add_key(clumsy, {"api_key": "short", "secret": "b" * 64})
        assert status == 422, answer


async def test_accounts_when_paused_poor_or_dry_then_skipped_or_denied_and_counted(tmp_path: Path) -> None:
    """order-protocol.md section 2."""
    async with world(tmp_path) as place:
        paused, poor, dry, off, fine = place.people([PlanName.PRO] * 5)
        await place.start_platform()
        for person in (paused, dry, off, fine):
            await place.link(person)
        await place.link(poor, balances={"USDT": "4"})
        assert (await place.call("POST", f"/accounts/{paused.account_id}/pause", paused))[0] == 200
        assert (await place.call("PATCH", f"/accounts/{dry.account_id}", dry, {"dry_run": True}))[0] == 200
        _, mandates = await place.call("GET", "/mandates", off)
        mandate_id = mandates["items"][0]["id"]
        assert (await place.call("PATCH", f"/mandates/{mandate_id}", off, {"is_enabled": False}))[0] == 200
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert board["counts"]["accounts"] == 5
        assert board["counts"]["placed"] + board["counts"]["skipped"] == 5
        cells = {each["account"]: (each["state"], each["reason"]) for each in board["cells"]}
        assert cells[paused.account_id] == ("SKIPPED", "paused")
        assert cells[poor.account_id] == ("SKIPPED", "too_small")
        assert cells[off.account_id] == ("SKIPPED", "mandate_off")
        assert cells[dry.account_id] == ("DENIED", "dry_run")
        assert cells[fine.account_id][0] == "FILLED"
        assert await place.venue_orders(dry.uid) == []
        _, why = await place.call("GET", f"/signals/{answer['id']}/decisions", fine)
        assert [each["account_id"] for each in why["items"]] == [fine.account_id]
        steps = {step["name"] for step in why["items"][0]["working"]}
        assert {"levels", "balance", "confidence"} <= steps


async def test_fault_64_tenants_when_asking_for_each_other_then_404(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        mine, other = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        await place.link(mine)
        await place.link(other)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        order = (await place.orders(other))[0]
        for method, path in [
            ("GET", f"/orders/{order['id']}"),
            ("DELETE", f"/orders/{order['id']}"),
            ("GET", f"/accounts/{other.account_id}"),
        ]:
            status, found = await place.call(method, path, mine)
            assert status == 404, (path, found)
            # The address that was asked for is repeated; nothing else of the other's is.
            assert other.account_id not in str({**found, "instance": ""})
        _, fan = await place.call("GET", f"/signals/{answer['id']}/fan", mine)
        assert {each["account"] for each in fan["cells"]} == {mine.account_id}
