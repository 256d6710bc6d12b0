"""`tradewind signals` and `tradewind recovery`: what they list, what they refuse, and what wrong input gets."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.support.command import Command

from tradewind.cli import signals as signals_command
from tradewind.cli.signals_preview import TOKEN_VARIABLE
from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.core.signal import Action, DraftSignal
from tradewind.execution import recovery_store, retry_requests
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db
from tradewind.infra.ids import RandomIds
from tradewind.signals import service
from tradewind.signals.service import Alert
from tradewind.signals.store import list_sources
from tradewind.signals.tables import SignalState, inbox

PASSWORD = "ferry lantern oblique mustard"
CLOCK = SystemClock()


@pytest.fixture
def ready(tmp_path: Path) -> Command:
    command = Command(tmp_path)
    command.out("keys", "init")
    add = ("users", "add", "op@example.com", "--role", "operator", "--password-stdin")
    command.out(*add, stdin=f"{PASSWORD}\n")
    command.out("sources", "add", "alerts", "--owner", "op@example.com")
    return command


def _signal(command: Command, symbol: str = "BTCUSDT", action: Action = Action.OPEN) -> str:
    now = CLOCK.now()
    draft = DraftSignal(action=action, base=Asset(symbol[:3]), quote=Asset("USDT"), symbol_text=symbol, alert_at=now)
    alert = Alert(draft, f"{symbol}-{action}", "hash", '{"text": "as it came"}')
    db = Db.open(command.url)
    try:
        (source,) = db.read_now(list_sources)
        accepted = db.write_now(lambda tx: service.accept(tx, RandomIds(CLOCK), SourceId(source.id), [alert], now))
    finally:
        db.close()
    return accepted.ids[0]


def _bury(command: Command, signal_id: str, **values: Any) -> None:
    dead = {"state": SignalState.DEAD, "attempts": 5, "last_error": "ValueError", **values}
    db = Db.open(command.url)
    try:
        db.write_now(lambda tx: tx.execute(update(inbox).where(inbox.c.id == signal_id).values(dead)))
    finally:
        db.close()


def test_signals_list_when_some_are_dead_letters_then_all_or_only_those_with_why(ready: Command) -> None:
    waiting, dead = _signal(ready), _signal(ready, "ETHUSDT")
    _bury(ready, dead)
    listed = ready.out("signals", "list")
    assert waiting in listed
    assert dead in listed
    assert listed.rstrip().endswith("2 signals")
    listed = ready.out("signals", "list", "--dead")
    assert waiting not in listed
    assert "ValueError" in listed
    assert listed.rstrip().endswith("1 dead letters")
    assert ready.out("signals", "list", "--limit", "1").rstrip().endswith("1 signals")


def test_signals_list_when_there_are_none_then_says_so(ready: Command) -> None:
    assert ready.out("signals", "list").rstrip().endswith("0 signals")


def test_signals_show_when_given_an_id_then_its_fields_and_body(ready: Command) -> None:
    signal_id = _signal(ready, action=Action.CLOSE)
    shown = ready.out("signals", "show", signal_id)
    for word in (signal_id, "alerts", "close", "BTCUSDT", "as it came"):
        assert word in shown


@pytest.mark.parametrize("verb", ["show", "retry"])
def test_signals_verb_when_the_id_is_unknown_then_refused_in_words(ready: Command, verb: str) -> None:
    assert ready.refused("signals", verb, "no-such-signal").code == "signal_not_found"


def test_signals_show_when_the_row_cannot_be_read_then_says_that_and_the_others_are_listed(ready: Command) -> None:
    lost, other = _signal(ready), _signal(ready, "ETHUSDT")
    _bury(ready, lost, action="reverse")
    assert ready.refused("signals", "show", lost).code == "signal_unreadable"
    assert other in ready.out("signals", "list")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--limit", "0"),
        ("list", "--limit", "many"),
        ("retry",),
        ("retry", "ID", "--max-age", "0"),
        ("retry", "ID", "--max-age", "old"),
        ("show",),
        ("preview", "SOURCE", "open"),
        ("forget",),
    ],
)
def test_signals_when_used_wrongly_then_usage_and_exit_code_two(ready: Command, arguments: tuple[str, ...]) -> None:
    assert ready.run("signals", *arguments).exit_code == 2


def test_signals_retry_when_no_platform_runs_then_withdrawn_and_nothing_is_fired_later(
    ready: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 9: a retry nobody took up must not be carried out at the next start."""
    signal_id = _signal(ready)
    monkeypatch.setattr(signals_command, "_WAIT_S", 0.1)
    assert ready.refused("signals", "retry", signal_id).code == "platform_not_running"
    db = Db.open(ready.url)
    try:
        assert db.read_now(retry_requests._waiting) == []
    finally:
        db.close()


def test_signals_preview_when_there_is_no_token_then_says_how_to_get_one(
    ready: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert ready.refused("signals", "preview", "SOURCE", "open", "BTC/USDT").code == "token_missing"


@pytest.mark.parametrize(
    ("url", "code"), [("http://127.0.0.1:9", "platform_away"), ("ftp://example.com", "address_unclear")]
)
def test_signals_preview_when_no_platform_answers_there_then_says_so(
    ready: Command, monkeypatch: pytest.MonkeyPatch, url: str, code: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")
    assert ready.refused("signals", "preview", "SOURCE", "open", "BTC/USDT", "--url", url).code == code


# --- recovery ---


def _report(command: Command, account_id: str, *, is_green: bool, waits_for: str | None = None) -> None:
    now = CLOCK.now()
    difference = {
        "kind": "order_moved",
        "symbol": "BTCUSDT",
        "ours": "ACCEPTED 0",
        "venue": "FILLED 1",
        "done": "booked",
    }
    values = {
        "id": f"report-{account_id}",
        "account_id": account_id,
        "user_id": "u",
        "venue": "binance",
        "environment": "paper",
        "cause": "start",
        "restore_id": None,
        "started_at": now,
        "green_at": now + timedelta(seconds=2) if is_green else None,
        "looks": 1,
        "orders": 4,
        "fills": 1,
        "positions": 2,
        "differences": 1,
        "not_ours": 0,
        "weight": 26,
        "waits_for": waits_for,
        "detail": {"differences": [{**difference, "order_id": None}]},
    }
    db = Db.open(command.url)
    try:
        db.write_now(lambda tx: recovery_store.put_report(tx, values))
    finally:
        db.close()


def test_recovery_when_accounts_were_compared_then_when_and_what_waits(ready: Command) -> None:
    _report(ready, "first", is_green=True)
    _report(ready, "second", is_green=False, waits_for="2 orders in doubt")
    shown = ready.out("recovery")
    assert "after 2.0 s" in shown
    assert "waits for 2 orders in doubt" in shown
    assert "2 reports, 1 of them of accounts whose entries wait" in shown
    assert "FILLED 1" not in shown
    assert "FILLED 1" in ready.out("recovery", "--account", "first")


def test_recovery_when_there_is_nothing_then_says_so_and_for_an_unknown_account_refuses(ready: Command) -> None:
    assert "0 reports" in ready.out("recovery")
    assert ready.refused("recovery", "--account", "nobody").code == "no_reports"
    assert ready.run("recovery", "--limit", "0").exit_code == 2


# --- doctor ---


def _findings(command: Command) -> dict[str, tuple[bool, str]]:
    result = command.run("doctor", "--json")
    return {each["name"]: (each["is_well"], each["text"]) for each in json.loads(result.stdout)["findings"]}


def test_doctor_when_nothing_is_open_then_stops_recovery_and_dead_letters_are_well(ready: Command) -> None:
    found = _findings(ready)
    assert found["stops"] == (True, "no emergency stop is on")
    assert found["recovery"] == (True, "no order is in doubt, no account waits")
    assert found["dead letters"] == (True, "no dead letters")


def test_doctor_when_something_is_open_then_named_with_what_to_do(ready: Command) -> None:
    ready.out("emergency", "stop", "--reason", "drill")
    _report(ready, "second", is_green=False, waits_for="2 orders in doubt")
    _bury(ready, _signal(ready, action=Action.CLOSE))
    found = _findings(ready)
    assert not found["stops"][0]
    assert "drill" in found["stops"][1]
    assert not found["recovery"][0]
    assert "2 orders in doubt" in found["recovery"][1]
    # Nothing of that source is held, so the close that was given up leaves nothing open.
    assert found["dead letters"] == (True, "1 dead letters: tradewind signals list --dead")


def test_doctor_when_only_the_stop_file_stops_then_named_with_and_without_a_database(tmp_path: Path) -> None:
    """order-protocol.md section 6: the flag file stops this machine, so nobody is told that no stop is on."""
    command = Command(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "STOP").touch()
    without = _findings(command)["stops"]
    command.out("keys", "init")
    assert _findings(command)["stops"] == without
    assert not without[0]
    assert "STOP stops platform" in without[1]


# --- restored ---


def test_db_restored_when_said_then_begun_each_time_and_the_flag_has_nothing_left_to_do(ready: Command) -> None:
    """order-protocol.md section 9: the word of a person, whatever the marks say; typed, never left in a unit."""
    _signal(ready)
    said = ready.out("db", "restored")
    assert "Nothing is known of the time since" in said
    assert "tradewind serve" in said
    assert ready.out("signals", "list", "--dead").rstrip().endswith("1 dead letters")
    assert "backups put back that are not adopted" in _findings(ready)["recovery"][1]
