"""The working behind a decision: what the why-card shows (product.md D7).

A working is a tuple of steps in the order they were taken; each step names what was looked at and carries
its numbers as text WITH their unit, so no reader has to guess. It is stored with the decision as JSON and
never read back by the engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a stable name for programs and (label, text with unit) pairs for people."""

    name: str
    values: tuple[tuple[str, str], ...] = ()


Working = tuple[Step, ...]


def step(name: str, /, **values: str) -> Step:
    """Build a step from ready texts."""
    return Step(name, tuple(values.items()))


def working_rows(working: Iterable[Step]) -> list[dict[str, object]]:
    """Return the working as plain objects for an API answer."""
    return [{"name": s.name, "values": dict(s.values)} for s in working]


def working_json(working: Iterable[Step]) -> str:
    """Write the working as compact JSON text, for storing.

    >>> working_json((step("risk", free="1000 USDT", share="2 %"),))
    '[{"name":"risk","values":{"free":"1000 USDT","share":"2 %"}}]'
    """
    return json.dumps(working_rows(working), ensure_ascii=False, separators=(",", ":"))
