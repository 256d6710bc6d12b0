"""The frames of the stream, as values and as JSON text (dashboard.md section 2.4).

Server: `hello` once at the start and after every `reset`; `ev` the user's own facts, numbered without holes;
`fan` cells of a signal's fan-out; `tick` prices, latest wins, no number; `hb` every 2 s with the newest
number, so that silence cannot hide a loss; `reset` when the numbers no longer help: fetch everything again.
Client: `auth`, `resume`, `sub`. Times are ISO 8601 in UTC, decimals are strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

HEARTBEAT_MS = 2_000


@dataclass(frozen=True, slots=True)
class Hello:
    """The start of a stream: numbers after `seq` follow, and count only within `epoch`."""

    epoch: str
    seq: int
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Ev:
    """One fact of the user's own."""

    seq: int
    topic: str
    id: str
    rev: int
    at: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fan:
    """Changed cells of a signal: [index, state, reason]; `counts` over all cells the reader may see.

    `counts` is None where this process has not seen the fan-out from its start: fetch the snapshot.
    """

    signal: str
    rev: int
    cells: Sequence[Sequence[Any]]
    counts: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Newest values of a topic; `n` counts up, holes mean nothing."""

    topic: str
    n: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hb:
    """A sign of life with the newest number."""

    seq: int
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Reset:
    """The numbers no longer help; a new hello follows."""

    why: str


Frame = Hello | Ev | Fan | Tick | Hb | Reset


def encode(frame: Frame) -> str:
    """Write a frame as JSON text."""
    return msgspec.json.encode(_body(frame)).decode("utf-8")


def _body(frame: Frame) -> dict[str, Any]:
    match frame:
        case Hello(epoch, seq, server_time):
            return {
                "type": "hello",
                "epoch": epoch,
                "seq": seq,
                "server_time": time_text(server_time),
                "hb_ms": HEARTBEAT_MS,
            }
        case Ev(seq, topic, id_, rev, at, data):
            return {"type": "ev", "seq": seq, "topic": topic, "id": id_, "rev": rev, "at": at, "data": data}
        case Fan(signal, rev, cells, counts):
            return {"type": "fan", "signal": signal, "rev": rev, "cells": cells, "counts": counts}
        case Tick(topic, n, data):
            return {"type": "tick", "topic": topic, "n": n, "data": data}
        case Hb(seq, server_time):
            return {"type": "hb", "seq": seq, "server_time": time_text(server_time)}
        case Reset(why):
            return {"type": "reset", "why": why}


def time_text(moment: datetime) -> str:
    """Write a UTC time with milliseconds and a final Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- from the client -------------------------------------------------------------------------------

# A topic list is typed by people; nobody watches more than this.
_TOPICS_MAX = 200
_CLIENT_CHARS_MAX = 16_384


class BadFrame(ValueError):
    """The client sent something that is no frame; its text may be shown."""


class Auth(msgspec.Struct, frozen=True, tag="auth", forbid_unknown_fields=True):
    """The first frame of a program that cannot set headers."""

    token: str

    def __repr__(self) -> str:
        return "Auth(token=***)"


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Go on after `seq` of `epoch`."""

    epoch: str
    seq: int


class Sub(msgspec.Struct, frozen=True, tag="sub"):
    """Replace what is listened to besides the user's own facts: `price.binance.live`, `fan`, `fan.<signal>`."""

    topics: tuple[str, ...]


ClientFrame = Auth | Resume | Sub
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(Auth | Resume | Sub)


def decode(text: str) -> ClientFrame:
    """Read a client's frame. Raises BadFrame, which never quotes what was sent."""
    if len(text) > _CLIENT_CHARS_MAX:
        raise BadFrame("the frame is too long")
    try:
        frame = _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise BadFrame("expected a JSON object with type auth, resume or sub") from None
    if isinstance(frame, Sub) and len(frame.topics) > _TOPICS_MAX:
        raise BadFrame(f"more than {_TOPICS_MAX} topics")
    return frame
