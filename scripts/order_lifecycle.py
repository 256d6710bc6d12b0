"""Write docs/order-lifecycle.md from the order's transition table.

python scripts/order_lifecycle.py           write the page
python scripts/order_lifecycle.py --check   exit 1 if the page is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tradewind.core.order import ENDED, IN_DOUBT, RESTING, TRANSITIONS, OrderState

PAGE = Path(__file__).resolve().parents[1] / "docs" / "order-lifecycle.md"

_S = OrderState
# What a state means, in the words of docs/glossary.md.
MEANINGS: Mapping[OrderState, str] = {
    _S.INTENDED: "Recorded, not sent. The journal has it before the network does.",
    _S.SENT: "Claimed for sending: a request may be on its way or at the venue.",
    _S.ACCEPTED: "The venue holds it and nothing is executed yet.",
    _S.PARTIALLY_FILLED: "The venue holds it and has executed a part.",
    _S.FILLED: "Executed in full.",
    _S.REJECTED: "The venue refused it, with positive evidence.",
    _S.CANCELED: "Ended before it was full; what was executed stands.",
    _S.EXPIRED: "Ended by the venue before it was full; what was executed stands.",
    _S.UNKNOWN: "Nobody has said what became of it. It is asked about until somebody does.",
    _S.NEVER_ARRIVED: 'Proven absent: two answers "not found" after the fence, and nothing in the lists.',
    _S.BLIND: "The venue refuses our key, so we cannot ask. The user is told.",
    _S.CANCEL_SENT: "A cancel of ours is on its way; it may still fill.",
    _S.DENIED: "We refused it ourselves, with a reason.",
}

_HEAD = """\
# The life of an order

This page is generated from `TRANSITIONS` in `src/tradewind/core/order.py` by `scripts/order_lifecycle.py`; a test fails
when the two differ. Change the table, then run the script.

- A step of ours that the table does not have raises `IllegalTransition` and changes nothing.
- A fact from the venue never raises. It moves state and executed quantity forward only, in any state; where it
  surprises, it is kept and opens an incident.
- "I did not hear back" is UNKNOWN, not an end. The same event twice changes nothing.
- An order that the venue has named is never sent again, and never becomes NEVER_ARRIVED.
"""


def render() -> str:
    """Return the page as it should be."""
    return f"{_HEAD}\n## Diagram\n\n{_diagram()}\n## Table\n\n{_table()}"


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> INTENDED"]
    for source in OrderState:
        lines += [f"    {source} --> {target}" for target in _sorted(TRANSITIONS[source])]
    lines += [f"    {state} --> [*]" for state in _sorted(ENDED)]
    return "\n".join([*lines, "```"]) + "\n"


def _table() -> str:
    lines = ["| State | Kind | May become | Meaning |", "|---|---|---|---|"]
    for state in OrderState:
        targets = ", ".join(_sorted(TRANSITIONS[state])) or "-"
        lines.append(f"| {state} | {_kind(state)} | {targets} | {MEANINGS[state]} |")
    return "\n".join(lines) + "\n"


def _kind(state: OrderState) -> str:
    words = [
        word for word, group in (("ended", ENDED), ("in doubt", IN_DOUBT), ("at the venue", RESTING)) if state in group
    ]
    return ", ".join(words) or "-"


def _sorted(states: frozenset[OrderState]) -> list[OrderState]:
    order = list(OrderState)
    return sorted(states, key=order.index)


def main(arguments: list[str]) -> int:
    """Write or check the page; return the exit code."""
    page = render()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE} is not up to date: run python scripts/order_lifecycle.py")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
