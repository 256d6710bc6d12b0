"""The stage shows what the platform said, in its order, and the picture fits the terminal."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from tradewind.core.order import OrderState
from tradewind.demo.cast import Fate, build_cast
from tradewind.demo.screen import save_capture
from tradewind.demo.stage import Row, Stage, signed
from tradewind.demo.view import CELLS, fan_table, picture

SIGNAL = "signal-1"


def stage() -> Stage:
    made = Stage(tape="upbit", seed=1, speed=Decimal(8), rows={person.number: Row(person) for person in build_cast(1)})
    made.started, made.now = 100.0, 101.5
    made.first_signal = SIGNAL
    made.signals[SIGNAL] = "VVVUSDT"
    return made


def order(state: str, rev: int, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "order-1",
        "rev": rev,
        "state": state,
        "leg": "entry",
        "why": "signal",
        "signal_id": SIGNAL,
        "account_id": "account-1",
        "symbol": "VVVUSDT",
        "generation": 0,
        "venue_order_id": None,
        "executed": "0",
        "executed_quote": "0",
        "release_at": "2026-11-20T08:00:00+00:00",
        "acknowledged_at": None,
        "reason": None,
    }
    return {**values, **changes}


def filled(rev: int, **changes: Any) -> dict[str, Any]:
    figures = {
        "venue_order_id": "77",
        "executed": "2.5",
        "executed_quote": "42.75",
        "acknowledged_at": "2026-11-20T08:00:00.120+00:00",
    }
    return order("FILLED", rev, **{**figures, **changes})


def texts(made: Stage) -> str:
    return "\n".join(text for _, text in made.log)


def test_stage_when_an_order_is_filled_shows_price_quantity_and_lateness() -> None:
    made = stage()
    made.see_order(1, order("SENT", 1))
    made.see_order(1, filled(2))
    row = made.rows[1]
    assert (row.state, row.venue_order_id, row.quantity, row.price, row.lateness_ms) == (
        "FILLED",
        "77",
        "2.5",
        "17.1",
        120,
    )


def test_stage_when_an_older_word_comes_late_keeps_the_newer() -> None:
    made = stage()
    made.see_order(1, filled(5))
    made.see_order(1, order("SENT", 2))
    assert made.rows[1].state == "FILLED"


def test_stage_when_an_answer_is_lost_tells_that_it_is_asked_and_found() -> None:
    made = stage()
    made.see_order(1, order("UNKNOWN", 2))
    made.see_order(1, filled(3))
    assert made.rows[1].was_unknown
    assert "UNKNOWN, asking" in texts(made)
    assert "it had been executed, order 77" in texts(made)


def test_stage_when_sent_again_counts_lateness_from_the_first_release() -> None:
    made = stage()
    made.see_order(1, order("NEVER_ARRIVED", 4))
    again = {"id": "order-2", "generation": 1, "release_at": "2026-11-20T08:00:15+00:00"}
    made.see_order(1, filled(3, **again, acknowledged_at="2026-11-20T08:00:15.500+00:00"))
    made.see_order(1, order("NEVER_ARRIVED", 5))
    assert (made.rows[1].state, made.rows[1].lateness_ms) == ("FILLED", 15_500)
    assert "sent again once and filled" in texts(made)


def test_stage_when_a_stop_is_filled_tells_it_once() -> None:
    made = stage()
    hit = filled(3, id="stop-1", leg="stop", why="protection", signal_id=None)
    made.see_order(4, hit)
    made.see_order(4, {**hit, "rev": 4})
    assert made.hits == {"stop": 1}
    assert texts(made).count("stop hit on VVVUSDT, sold 2.5 at 17.1") == 1


def position(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "lot-1",
        "symbol": "VVVUSDT",
        "quantity": "2.4975",
        "entry_price": "17.12",
        "closed_at": None,
        "price": "17.5",
        "unrealised": "0.949",
        "unrealised_pct_of_cost": "2.22",
        "stop": "16.5",
        "target": "18",
        "protection": "protected_native",
    }
    return {**values, **changes}


def test_stage_when_a_position_closes_takes_it_away() -> None:
    made = stage()
    made.see_positions(1, [position()])
    assert made.positions["lot-1"].pnl == "+0.95"
    made.see_position(1, position(protection="unprotected"))
    assert made.positions["lot-1"].protection == "unprotected"
    made.see_position(1, position(closed_at="2026-11-20T08:00:00+00:00"))
    assert made.positions == {}


@pytest.mark.parametrize(("text", "shown"), [("0.005", "+0.00"), ("-1.239", "-1.24"), (None, "")])
def test_signed_when_shown_has_sign_and_two_places(text: str | None, shown: str) -> None:
    assert signed(text) == shown


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (132, 60), (200, 80)])
def test_picture_when_drawn_fits_the_terminal(width: int, height: int) -> None:
    made = stage()
    for number in made.rows:
        made.see_order(number, filled(2, id=f"order-{number}"))
        made.see_positions(number, [position(id=f"lot-{number}")])
    for _ in range(50):
        made.say(
            "something happened that takes a rather long line to tell in full, longer than some terminals are wide"
        )
    console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    console.print(picture(made, width, height))
    lines = console.export_text().rstrip("\n").split("\n")
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert "PAPER" in lines[0]


def test_fan_table_when_printed_names_every_person_with_decision_and_state() -> None:
    made = stage()
    person = next(row.person for row in made.rows.values() if row.person.fate is Fate.ANSWER_LOST)
    made.see_order(person.number, order("UNKNOWN", 1))
    made.see_order(person.number, filled(2))
    made.see_refused(2, "key_can_withdraw", "This key can withdraw.")
    made.see_decision(3, {"verdict": "skip", "reason": "paused", "reason_text": "This account is paused."})
    console = Console(width=132, file=io.StringIO(), record=True)
    console.print(fan_table(made, 132))
    text = console.export_text()
    assert all(row.person.name in text for row in made.rows.values())
    assert "place (answer lost)" in text
    assert "■ filled, found out" in text
    assert "key refused: This key can withdraw." in text
    assert "skip: This account is paused." in text


def test_cells_when_listed_cover_every_order_state() -> None:
    assert set(CELLS) == {state.value for state in OrderState} | {"SKIPPED"}


@pytest.mark.parametrize("ending", [".svg", ".txt"])
def test_capture_when_saved_holds_the_picture_and_no_foreign_address(ending: str, tmp_path: Any) -> None:
    file = tmp_path / f"demo{ending}"
    save_capture([fan_table(stage(), 132)], file)
    text = file.read_text("utf-8")
    assert "ENTERPRISE" in text
    assert text.count("http") == text.count("http://www.w3.org/2000/svg")
