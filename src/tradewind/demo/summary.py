"""The demo's result as one object and as words; every number is read from the journal or the exchange. Pure.

`p50_ms` and `p99_ms` are for the first open-alert: from the release time of the account's plan to the moment
we knew what the exchange had made of its order, in milliseconds, over all placed accounts that were
acknowledged, failures included. `*_unbroken_ms` leave out the accounts whose sending the demo broke on purpose.
`bare_*_ms` are times a position stood without a stop at the exchange, by the exchange's own log.
`placed`, `skipped` and `states` are for the first open-alert too; `unknown`, `duplicates`, `lost` (orders at the
exchange that the journal does not know, and fills not booked) and `unprotected` are over the whole run.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tradewind import __version__
from tradewind.core.money import ZERO
from tradewind.demo.bare import bare_spans
from tradewind.demo.check import Verdict, entry_of, is_broken, was_found_out
from tradewind.demo.exposure import exposure, exposure_line
from tradewind.demo.facts import Expected, Journal, JournalOrder, Venue
from tradewind.demo.figures import percentile
from tradewind.demo.story import Story

_LIBRARIES = ("aiohttp", "fastapi", "sqlalchemy", "uvicorn")


@dataclass(frozen=True, slots=True)
class Run:
    """What the run was, besides what it did."""

    seed: int
    story: Story
    first_signal: str
    users: int
    refused: int
    duration_s: float
    repeat_had_same_id: bool


def build_object(
    run: Run, journal: Journal, venue: Venue, verdict: Verdict, expected: Sequence[Expected]
) -> dict[str, Any]:
    """Build the object of `--json`."""
    decisions = [each for each in journal.decisions if each.signal_id == run.first_signal]
    placed = [each for each in decisions if each.verdict == "place"]
    entries = [entry_of(journal, run.first_signal, each.account_id) for each in placed]
    states = Counter("MISSING" if entry is None else entry.state for entry in entries)
    late = latenesses(journal, run.first_signal)
    broken = {each.account_id for each in expected if each.is_first_executed is not None}
    clean = [ms for account_id, ms in late.items() if account_id not in broken]
    positions = Counter(lot.state for lot in journal.lots if lot.is_open)
    bare = bare_spans(venue)
    return {
        "agrees": verdict.agrees,
        "users": run.users,
        "accounts": len(journal.accounts),
        "refused_keys": run.refused,
        "skipped": len(decisions) - len(placed),
        "placed": len(placed),
        "states": dict(sorted(states.items())),
        "unknown": verdict.unknown,
        "duplicates": verdict.duplicates,
        "lost": verdict.lost,
        "unprotected": verdict.unprotected,
        "p50_ms": percentile(list(late.values()), 50),
        "p99_ms": percentile(list(late.values()), 99),
        "p50_unbroken_ms": percentile(clean, 50),
        "p99_unbroken_ms": percentile(clean, 99),
        "skip_reasons": dict(sorted(Counter(str(each.reason) for each in decisions if each.verdict == "skip").items())),
        "found_out": _found_out(run, journal, venue),
        "repeat_had_same_id": run.repeat_had_same_id,
        "positions": dict(sorted(positions.items())),
        "exposure": exposure(journal.lots),
        "bare_p50_ms": percentile(bare, 50),
        "bare_max_ms": max(bare, default=0),
        "stops_hit": hits(journal, "stop"),
        "targets_hit": hits(journal, "target"),
        "dust_left": sum(1 for lot in journal.lots if not lot.is_open and lot.quantity > ZERO),
        "realised_pnl": f"{realised(journal):.2f}",
        "fills": len(journal.fills),
        "incidents": journal.incidents,
        "disagreements": [{"kind": each.kind.value, "text": each.text} for each in verdict.disagreements],
        "environment": "PAPER",
        "seed": run.seed,
        "tape": run.story.tape,
        "tape_source": run.story.source,
        "tape_is_recorded": run.story.is_recorded,
        "tape_offset_s": run.story.offset_ms // 1_000,
        "speed": str(run.story.speed),
        "markets": [run.story.first.symbol, run.story.second.symbol],
        "duration_s": round(run.duration_s, 1),
        "versions": versions(),
    }


def latenesses(journal: Journal, signal_id: str) -> dict[str, int]:
    """Milliseconds from the plan's release to the acknowledgement of the order that counts, by account."""
    released: dict[str, int] = {}
    for order in _first_entries(journal, signal_id):
        if order.generation == 0:
            released[order.account_id] = order.release_ms
    found: dict[str, int] = {}
    for account_id, release_ms in released.items():
        entry = entry_of(journal, signal_id, account_id)
        if entry is not None and entry.acknowledged_ms is not None:
            found[account_id] = entry.acknowledged_ms - release_ms
    return found


def _first_entries(journal: Journal, signal_id: str) -> list[JournalOrder]:
    return [
        order
        for order in journal.orders
        if order.signal_id == signal_id and order.leg == "entry" and order.intent_kind == "signal"
    ]


def _found_out(run: Run, journal: Journal, venue: Venue) -> int:
    unanswered = [each for each in _first_entries(journal, run.first_signal) if is_broken(venue, each)]
    return sum(1 for order in unanswered if was_found_out(order))


def hits(journal: Journal, leg: str) -> int:
    """How many stops, or targets, the exchange filled."""
    return sum(1 for order in journal.orders if order.leg == leg and order.executed > ZERO)


def realised(journal: Journal) -> Decimal:
    """Proceeds less cost of everything sold, in USDT."""
    return sum((sale.gain_quote for sale in journal.sales), ZERO)


def versions() -> dict[str, str]:
    """What this was run with."""
    found = {"tradewind": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def summary_lines(told: dict[str, Any]) -> list[str]:
    """Say the object in words; the counts add up on the page."""
    states = " + ".join(f"{count} {state}" for state, count in told["states"].items()) or "none"
    reasons = ", ".join(f"{count} {reason}" for reason, count in told["skip_reasons"].items()) or "none"
    positions = ", ".join(f"{count} {state}" for state, count in told["positions"].items()) or "none"
    return [
        f"users        {told['users']} = {told['accounts']} accounts + {told['refused_keys']} refused keys",
        f"accounts     {told['accounts']} = {told['placed']} placed + {told['skipped']} skipped ({reasons})",
        f"placed       {told['placed']} = {states}; {told['found_out']} of them answered to nobody and were found out",
        f"lateness     median {told['p50_ms']} ms, 99th percentile {told['p99_ms']} ms after the plan's release",
        f"             without the broken ones {told['p50_unbroken_ms']} ms and {told['p99_unbroken_ms']} ms",
        f"positions    {positions}; stops hit {told['stops_hit']}, targets hit {told['targets_hit']}",
        f"exposure     {exposure_line(told['exposure'])}",
        f"             by the exchange's log without one: {told['bare_p50_ms']} ms (longest {told['bare_max_ms']})",
        f"realised     {told['realised_pnl']} USDT (PAPER); {told['fills']} fills; dust left {told['dust_left']} times",
        "must be 0    "
        + ", ".join(f"{name} {told[name]}" for name in ("duplicates", "lost", "unknown", "unprotected")),
    ]


def verdict_lines(verdict: Verdict) -> list[str]:
    """Say whether the two sides agree, and if not, where."""
    if verdict.agrees:
        return ["The exchange's own log and the journal agree on every order, fill and position."]
    lines = [f"They do NOT agree: {len(verdict.disagreements)} differences."]
    return lines + [f"  {each.kind.value}: {each.text}" for each in verdict.disagreements]
