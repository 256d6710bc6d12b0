"""What a signal would do, without sending (S6): the same answer as the real one, and not a row written."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from tests.support.command import Command
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.cli.signals_preview import TOKEN_VARIABLE
from tradewind.core.plan import PlanName
from tradewind.infra.db import Tx


def _rows(place: World) -> dict[str, int]:
    """Count the rows of every table there is."""
    assert place.app is not None

    def count(tx: Tx) -> dict[str, int]:
        names = inspect(tx).get_table_names()
        assert "orders" in names
        return {name: tx.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names}

    return place.app.db.read_now(count)


async def _quiet_rows(place: World) -> dict[str, int]:
    """Count them once nothing that went before writes any more."""
    before: dict[str, int] = {}
    while (now := _rows(place)) != before:
        before = now
        await asyncio.sleep(0.5)
    return now


def _body(place: World, action: str = "open", **more: Any) -> dict[str, Any]:
    return {"source_id": place.source_id, "action": action, "symbol": "BTC/USDT", **more}


async def _preview(place: World, person: Person, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = await place.call("POST", "/signals/preview", person, body)
    assert status == 200, answer
    return dict(answer)


async def test_preview_when_asked_then_it_says_what_the_signal_then_does_and_writes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        rich, poor = place.people([PlanName.PRO, PlanName.FLEX])
        await place.start_platform()
        await place.link(rich)
        await place.link(poor, balances={"USDT": "3"})
        before = await _quiet_rows(place)
        told = await _preview(place, place.operator, _body(place))
        assert _rows(place) == before
        assert await place.venue_orders(rich.uid) == []
        assert told["counts"] == {"accounts": 2, "placed": 1, "skipped": 1, "skip_reasons": {"too_small": 1}}
        cells = {each["account_id"]: each for each in told["accounts"]}
        would = cells[rich.account_id]
        assert (would["verdict"], would["side"], would["spend"], would["environment"]) == (
            "place",
            "buy",
            "20",
            "PAPER",
        )
        assert would["gate"] == []
        assert would["release_at"] is not None
        assert Decimal(would["stop"]) < Decimal(would["price"]) < Decimal(would["target"])
        assert Decimal(would["fee_estimate"]) == Decimal("0.02")
        assert [each["name"] for each in would["working"]][-1] == "spend"
        assert cells[poor.account_id]["reason"] == "too_small"
        assert told["markets"] == [
            {
                "venue": "binance",
                "environment": "PAPER",
                "symbol": "BTCUSDT",
                "entries": 1,
                "spend": "20",
                "quote": "USDT",
                "asks": None,
            }
        ]
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert (board["counts"]["placed"], board["counts"]["skip_reasons"]) == (1, {"too_small": 1})
        (lot,) = await place.protected(rich)
        assert Decimal(lot["stop"]) == Decimal(would["stop"])


async def test_preview_of_a_close_when_something_is_held_then_the_quantity_and_no_plan_delay(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        holder, other = place.people([PlanName.TRIAL, PlanName.PRO])
        await place.start_platform()
        await place.link(holder)
        await place.link(other, is_enabled=False)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        (lot,) = await place.protected(holder)
        before = await _quiet_rows(place)
        told = await _preview(place, place.operator, _body(place, "close"))
        assert _rows(place) == before
        cells = {each["account_id"]: each for each in told["accounts"]}
        assert (cells[holder.account_id]["side"], cells[holder.account_id]["quantity"]) == ("sell", lot["quantity"])
        assert cells[other.account_id]["reason"] == "nothing_held"
        await place.alert(close_alert())


async def test_preview_when_a_user_asks_then_only_their_own_accounts_and_reasons(tmp_path: Path) -> None:
    async with world(tmp_path, trading_enabled=False) as place:
        mine, theirs, stranger = place.people([PlanName.PRO] * 3)
        await place.start_platform()
        await place.link(mine)
        await place.link(theirs)
        told = await _preview(place, mine, _body(place))
        assert [each["account_id"] for each in told["accounts"]] == [mine.account_id]
        assert theirs.account_id not in str(told)
        assert [each["code"] for each in told["accounts"][0]["gate"]] == ["trading_enabled"]
        assert told["accounts"][0]["reason"] == "gate_closed"
        status, answer = await place.call("POST", "/signals/preview", stranger, _body(place))
        assert (status, answer["code"]) == (404, "source_not_found")


async def test_preview_when_the_symbol_is_unknown_then_refused_as_a_signal_would_be(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        await place.one_linked()
        status, answer = await place.call(
            "POST", "/signals/preview", place.operator, {**_body(place), "symbol": "NOPE/USDT"}
        )
        assert (status, answer["code"]) == (422, "unknown_symbol")


async def test_preview_by_command_line_when_the_platform_runs_then_a_table_and_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as place:
        await place.one_linked()
        monkeypatch.setenv(TOKEN_VARIABLE, place.operator.token)
        command = Command(tmp_path)
        asked = ("signals", "preview", place.source_id, "open", "BTC/USDT", "--url", place.url)
        told = await asyncio.to_thread(command.out, *asked)
        assert "20 USDT" in told
        assert "1 accounts: 1 would trade, 0 would not" in told
        refused = await asyncio.to_thread(
            command.refused, "signals", "preview", "nobody", "open", "BTC", "--url", place.url
        )
        assert refused.code == "source_not_found"
