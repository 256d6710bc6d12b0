"""The player: every print once, in order, when it is due."""

from array import array
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.sim.tape import Holes, Tape, TapeColumns, TapePlayer, TapeSymbol, set_played_time

ABC = TapeSymbol("ABCUSDT", "ABC", "USDT", Decimal("10.00"), Decimal(10), Decimal("0.01"), Decimal("0.1"))
XYZ = TapeSymbol("XYZUSDT", "XYZ", "USDT", Decimal("2.0"), Decimal(2), Decimal("0.1"), Decimal(1))


def tape(*prints: tuple[int, int, int], holes: Holes | None = None) -> Tape:
    """A made-up tape of (source ms, symbol number, price in ticks)."""
    columns = TapeColumns(array("q"), array("q"), array("i"), array("q"), array("q"))
    for at_ms, symbol, ticks in prints:
        columns.source_ms.append(at_ms)
        columns.symbol_index.append(symbol)
        columns.price_ticks.append(ticks)
        columns.quantity_units.append(5)
    holes = holes or Holes()
    count, skipped = set_played_time(columns, holes)
    return Tape(
        name="made-up",
        source="this test",
        licence="none",
        is_recorded=False,
        facts="nothing",
        symbols=(ABC, XYZ),
        columns=columns,
        holes=holes,
        hole_count=count,
        skipped_ms=skipped,
    )


FOUR = ((1_000, 0, 1_001), (1_400, 1, 21), (2_000, 0, 1_002), (2_100, 0, 1_003))


def test_advance_when_called_in_steps_hands_out_each_print_once_in_order() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=50_000)
    steps = [player.advance(now) for now in (50_000, 50_399, 50_400, 51_050, 51_050, 60_000)]
    assert [[(one.at_ms, str(one.price)) for one in step] for step in steps] == [
        [(50_000, "10.01")],
        [],
        [(50_400, "2.1")],
        [(51_000, "10.02")],
        [],
        [(51_100, "10.03")],
    ]
    assert player.is_finished


def test_advance_when_print_handed_out_carries_symbol_quantity_and_true_time() -> None:
    (first,) = TapePlayer(tape(*FOUR), 1, started_at_ms=0).advance(0)
    assert (first.symbol, first.quantity, first.source_ms) == ("ABCUSDT", Decimal("0.5"), 1_000)


def test_advance_when_speed_is_ten_makes_prints_due_ten_times_as_early() -> None:
    player = TapePlayer(tape(*FOUR), 10, started_at_ms=0)
    assert [one.at_ms for one in player.advance(110)] == [0, 40, 100, 110]


def test_advance_when_clock_runs_backwards_hands_out_nothing_twice() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=0)
    player.advance(500)
    assert player.advance(100) == []
    assert [one.at_ms for one in player.advance(1_000)] == [1_000]


def test_player_when_started_late_skips_earlier_prints_and_knows_their_prices() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=0, offset_s=Decimal("0.5"))
    assert player.first_prices() == {"ABCUSDT": Decimal("10.01"), "XYZUSDT": Decimal("2.1")}
    assert [(one.at_ms, str(one.price)) for one in player.advance(600)] == [(500, "10.02"), (600, "10.03")]


def test_prices_at_when_symbol_has_not_traded_yet_gives_its_first_price() -> None:
    assert tape(*FOUR).prices_at(0) == {"ABCUSDT": Decimal("10.01"), "XYZUSDT": Decimal("2.0")}


def test_player_when_paused_stands_still_and_resumes_where_it_was() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=0)
    player.advance(100)
    player.pause(100)
    assert (player.is_paused, player.advance(10_000)) == (True, [])
    player.resume(10_000)
    assert [one.at_ms for one in player.advance(10_300)] == [10_300]


def test_player_when_speed_changes_goes_on_from_the_same_place() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=0)
    player.advance(200)
    player.set_speed(2, 200)
    assert [one.at_ms for one in player.advance(300)] == [300]
    assert player.position_ms == 400


def test_player_when_sought_plays_from_there() -> None:
    player = TapePlayer(tape(*FOUR), 1, started_at_ms=0)
    player.advance(5_000)
    player.seek(1, 6_000)
    assert [str(one.price) for one in player.advance(6_000)] == ["10.02"]
    with pytest.raises(ValueError, match="no such place"):
        player.seek(2, 6_000)


def test_player_when_looping_starts_over_after_one_shortened_hole() -> None:
    player = TapePlayer(tape(*FOUR, holes=Holes(5_000, 900)), 1, started_at_ms=0, loop=True)
    # one round lasts 1,100 ms of tape and 900 ms of silence
    assert [one.at_ms for one in player.advance(3_100)] == [0, 400, 1_000, 1_100, 2_000, 2_400, 3_000, 3_100]
    assert (player.rounds, player.position_ms, player.is_finished) == (1, 1_100, False)


def test_player_when_many_rounds_pass_at_once_hands_out_the_last_round_only() -> None:
    player = TapePlayer(tape(*FOUR, holes=Holes(5_000, 900)), 1, started_at_ms=0, loop=True)
    due = player.advance(2_000 * 1_000_000 + 400)
    assert [one.at_ms for one in due[-3:]] == [2_000 * 999_999 + 1_100, 2_000_000_000, 2_000_000_400]
    assert len(due) == 6


@pytest.mark.parametrize("speed", [0, -1])
def test_player_when_speed_is_not_positive_is_refused(speed: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        TapePlayer(tape(*FOUR), speed, 0)
    with pytest.raises(ValueError, match="positive"):
        TapePlayer(tape(*FOUR), 1, 0).set_speed(speed, 0)


def test_player_when_tape_is_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="no prints"):
        TapePlayer(tape(), 1, 0)


def test_holes_when_pause_is_longer_than_the_limit_last_a_second() -> None:
    silent = tape((0, 0, 1_000), (5_000, 0, 1_001), (10_001, 0, 1_002), (3_610_001, 0, 1_003))
    assert list(silent.columns.offset_ms) == [0, 5_000, 6_000, 7_000]
    assert (silent.hole_count, silent.skipped_ms, silent.duration_ms) == (2, 3_603_001, 7_000)


def test_describe_when_tape_is_made_up_says_so() -> None:
    told = TapePlayer(tape(*FOUR), 5, 0, loop=True).describe()
    assert "4 prints in 2 markets" in told
    assert "MADE UP" in told
    assert "RECORDED" not in told
    assert "speed 5" in told
    assert "starts over" in told


@given(
    st.lists(st.integers(0, 8_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 3_000), max_size=30),
    st.sampled_from([1, 3, 60]),
    st.booleans(),
)
def test_advance_in_any_steps_gives_what_one_step_gives(
    gaps: list[int], steps: list[int], speed: int, loops: bool
) -> None:
    prints = [(sum(gaps[: index + 1]), 0, 1_000 + index) for index in range(len(gaps))]
    one_step, many = (TapePlayer(tape(*prints), speed, 0, loop=loops) for _ in range(2))
    now, got = 0, many.advance(0)
    for step in steps:
        now += step
        # a jump over whole rounds drops prints by design
        if loops and step * speed >= many.tape.duration_ms:
            return
        got += many.advance(now)
    if loops and now * speed >= many.tape.duration_ms:
        return
    assert got == one_step.advance(now)
    assert [one.at_ms for one in got] == sorted(one.at_ms for one in got)
