"""Frames as the dashboard reads them, and what clients may send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.stream.frames import Auth, BadFrame, Ev, Fan, Frame, Hb, Hello, Reset, Resume, Sub, Tick, decode, encode
from tradewind.stream.mask import MASK, masked

# A slow machine is no finding.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

AT = datetime(2026, 11, 20, 21, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=9)))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            Hello("e1", 7, AT),
            {"type": "hello", "epoch": "e1", "seq": 7, "server_time": "2026-11-20T12:00:00.123Z", "hb_ms": 2000},
        ),
        (
            Ev(8, "order", "o1", 3, "2026-11-20T12:00:00Z", {"price": "1.10"}),
            {
                "type": "ev",
                "seq": 8,
                "topic": "order",
                "id": "o1",
                "rev": 3,
                "at": "2026-11-20T12:00:00Z",
                "data": {"price": "1.10"},
            },
        ),
        (
            Fan("s1", 2, [[0, "SENT", None]], {"SENT": 1}),
            {"type": "fan", "signal": "s1", "rev": 2, "cells": [[0, "SENT", None]], "counts": {"SENT": 1}},
        ),
        (
            Tick("price.binance.live", 4, {"BTCUSDT": {"price": "67000"}}),
            {"type": "tick", "topic": "price.binance.live", "n": 4, "data": {"BTCUSDT": {"price": "67000"}}},
        ),
        (Hb(8, AT.astimezone(UTC)), {"type": "hb", "seq": 8, "server_time": "2026-11-20T12:00:00.123Z"}),
        (Reset("epoch"), {"type": "reset", "why": "epoch"}),
    ],
)
def test_frame_when_encoded_is_the_one_of_the_dashboard(frame: Frame, expected: object) -> None:
    assert json.loads(encode(frame)) == expected


def test_client_frames_when_well_formed_are_read() -> None:
    assert decode('{"type":"auth","token":"tw_x"}') == Auth("tw_x")
    assert decode('{"type":"resume","epoch":"e","seq":3}') == Resume("e", 3)
    assert decode('{"type":"sub","topics":["fan","price.binance"]}') == Sub(("fan", "price.binance"))
    assert "tw_x" not in repr(Auth("tw_x"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"type":"nonsense"}',
        '{"type":"resume","epoch":"e","seq":"3"}',
        '{"type":"sub","topics":"fan"}',
        '{"type":"sub","topics":["x"' + ',"x"' * 300 + "]}",
        '{"type":"auth","token":"' + "x" * 20_000 + '"}',
        "[" * 10_000,
    ],
)
def test_client_frame_when_malformed_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(BadFrame) as caught:
        decode(text)
    assert "x" * 10 not in str(caught.value)


@UNHURRIED
@given(st.text(max_size=200))
def test_any_text_when_decoded_raises_nothing_unexpected(text: str) -> None:
    try:
        decode(text)
    except BadFrame:
        return


def test_personal_fields_when_shown_to_operators_are_covered_at_any_depth() -> None:
    data = {
        "email": "a@b.c",
        "quantity": "0.1",
        "account": {"label": "mine", "state": "active", "venue_user_id": None},
        "list": [{"ip": "192.0.2.1"}, 3],
    }
    assert masked(data) == {
        "email": MASK,
        "quantity": "0.1",
        "account": {"label": MASK, "state": "active", "venue_user_id": None},
        "list": [{"ip": MASK}, 3],
    }
    assert data["email"] == "a@b.c"
