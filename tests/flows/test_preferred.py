"""A person with several accounts: entries on the preferred one, closes on every one (E10, D7)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.accounts.refusals import UNVERIFIED_SENTENCE
from tradewind.config.settings import VenueSection
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.plan import PlanName


async def _with_two(place: World, environments: tuple[str, str]) -> tuple[Person, list[str], list[str]]:
    """One person with two accounts under mandate of the source; their account ids and mandate ids."""
    (person,) = place.people([PlanName.PRO])
    sections = dict(place.settings.venues)
    paper = sections[BINANCE, Environment.PAPER]
    sections[BINANCE, Environment.TESTNET] = VenueSection(
        enabled=True, rest_url=paper.rest_url, ws_api_url=paper.ws_api_url, stream_url=paper.stream_url
    )
    place.settings = replace(place.settings, venues=sections)
    await place.start_platform()
    accounts, mandates = [], []
    for environment in environments:
        status, answer = await place.add_key(
            person, await place.issue_key(), environment=environment, confirmation=UNVERIFIED_SENTENCE
        )
        assert status == 201, answer
        accounts.append(answer["account"]["id"] if "account" in answer else answer["id"])
        body = {"account_id": accounts[-1], "source_id": place.source_id}
        status, answer = await place.call("POST", "/mandates", person, body)
        assert status == 201, answer
        mandates.append(answer["id"])
    return person, accounts, mandates


async def _change(place: World, person: Person, mandate: str, **terms: Any) -> None:
    status, answer = await place.call("PATCH", f"/mandates/{mandate}", person, terms)
    assert status == 200, answer
    assert terms.items() <= answer.items()


async def _reasons(place: World, signal_id: str) -> dict[str, str | None]:
    board = await place.settled(signal_id)
    return {cell["account"]: cell["reason"] for cell in board["cells"]}


async def test_signal_when_one_account_is_preferred_then_the_other_is_passed_over_and_closes_reach_both(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: a close reaches every account that holds lots of the source."""
    async with world(tmp_path) as place:
        person, (first, second), (mandate, other) = await _with_two(place, ("paper", "paper"))
        _, opened = await place.alert(open_alert())
        assert await _reasons(place, opened["id"]) == {first: None, second: None}
        await _change(place, person, mandate, is_preferred=True)
        _, again = await place.alert(open_alert("ETHUSDT"))
        assert await _reasons(place, again["id"]) == {first: None, second: "preferred_account_elsewhere"}
        status, told = await place.call(
            "POST",
            "/signals/preview",
            person,
            {"source_id": place.source_id, "action": "open", "symbol": "SOL/USDT"},
        )
        assert status == 200
        assert {each["account_id"]: each["reason"] for each in told["accounts"]}[
            second
        ] == "preferred_account_elsewhere"
        await _change(place, person, other, trades_beside_preferred=True)
        _, third = await place.alert(open_alert("XRPUSDT"))
        assert await _reasons(place, third["id"]) == {first: None, second: None}
        _, closed = await place.alert(close_alert())
        assert await _reasons(place, closed["id"]) == {first: None, second: None}


async def test_signal_when_accounts_are_in_two_environments_then_each_trades(tmp_path: Path) -> None:
    """product.md G6: a paper account never takes a live one's place, nor the other way round."""
    async with world(tmp_path) as place:
        person, (paper, testnet), (mandate, _) = await _with_two(place, ("paper", "testnet"))
        await _change(place, person, mandate, is_preferred=True)
        _, opened = await place.alert(open_alert())
        assert await _reasons(place, opened["id"]) == {paper: None, testnet: None}
        assert {each["environment"] for each in await place.positions(person)} == {"PAPER", "TESTNET"}


async def test_preferred_venue_when_set_then_kept_and_unknown_ones_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person, accounts, _ = await _with_two(place, ("paper", "paper"))
        status, answer = await place.call("PATCH", "/me", person, {"preferred_venue": "atlantis"})
        assert (status, answer["code"]) == (422, "venue_unknown")
        status, answer = await place.call("PATCH", "/me", person, {"preferred_venue": "binance"})
        assert (status, answer["preferred_venue"]) == (200, "binance")
        assert (await place.call("PATCH", "/me", person, {}))[1]["preferred_venue"] == "binance"
        assert (await place.call("GET", "/me", person))[1]["user"]["preferred_venue"] == "binance"
        # Both accounts are there, so both trade.
        _, opened = await place.alert(open_alert())
        assert await _reasons(place, opened["id"]) == dict.fromkeys(accounts)
        assert (await place.call("PATCH", "/me", person, {"preferred_venue": None}))[1]["preferred_venue"] is None
