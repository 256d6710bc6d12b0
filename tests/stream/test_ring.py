"""Numbers without holes, replay, and the hole that everybody notices."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.stream.ring import Event, Ring

# A slow machine is no finding.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def event(n: int) -> Event:
    return Event("order", f"o{n}", n, "2026-11-20T12:00:00Z", {"n": n})


def test_ring_when_empty_has_nothing_after_its_number() -> None:
    ring = Ring()
    assert ring.seq == 0
    assert ring.after(0) == []
    assert ring.after(1) is None


def test_ring_when_asked_tells_what_follows() -> None:
    ring = Ring()
    for n in range(1, 6):
        assert ring.append(event(n)) == n
    replay = ring.after(2)
    assert replay is not None
    assert [(ev.seq, ev.id) for ev in replay] == [(3, "o3"), (4, "o4"), (5, "o5")]
    assert [ev.seq for ev in ring.after(0, limit=2) or []] == [1, 2]


def test_ring_when_full_cannot_tell_those_who_stood_too_far_back() -> None:
    ring = Ring(size=3)
    for n in range(1, 6):
        ring.append(event(n))
    assert ring.after(1) is None
    assert [ev.seq for ev in ring.after(2) or []] == [3, 4, 5]


def test_ring_when_it_forgets_leaves_a_hole_for_everybody() -> None:
    ring = Ring()
    ring.append(event(1))
    ring.forget()
    assert ring.after(0) is None
    assert ring.after(1) is None
    assert ring.after(ring.seq) == []
    ring.append(event(3))
    assert ring.after(1) is None
    assert [ev.seq for ev in ring.after(2) or []] == [3]


@UNHURRIED
@given(st.lists(st.sampled_from(["append", "forget"]), max_size=60), st.integers(0, 70), st.integers(1, 8))
def test_ring_after_any_course_tells_all_or_nothing(steps: list[str], asked: int, size: int) -> None:
    ring, told = Ring(size=size), dict[int, str]()
    for n, step in enumerate(steps):
        if step == "append":
            told[ring.append(event(n))] = f"o{n}"
        else:
            ring.forget()
    replay = ring.after(asked)
    if replay is None:
        assert asked != ring.seq
        return
    # Everything after the number asked for, without a hole, as it was told the first time.
    assert [ev.seq for ev in replay] == list(range(asked + 1, ring.seq + 1))
    assert all(told[ev.seq] == ev.id for ev in replay)
