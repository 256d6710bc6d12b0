"""The picture on the terminal, drawn from the stage: words and shapes of order states, tables, the summary. Pure.

A shape is a state and colour only helps it; a filled badge with a word is an environment; nothing blinks.
Positions of paper accounts say PAPER; profit carries its sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tradewind.core.plan import DEFAULT_PLANS
from tradewind.demo.stage import PositionRow, Row, Stage, clock_text

# State -> (shape, word, style). NEVER_ARRIVED counts as unknown until it is planned again.
CELLS = {
    "SKIPPED": ("–", "skipped", "grey62"),
    "INTENDED": ("□", "planned", "grey74"),
    "SENT": ("◧", "sent", "cyan"),
    "ACCEPTED": ("▤", "accepted", "cyan"),
    "PARTIALLY_FILLED": ("◩", "partial", "cyan"),
    "CANCEL_SENT": ("◩", "cancelling", "cyan"),
    "FILLED": ("■", "filled", "green"),
    "CANCELED": ("⊟", "ended unfilled", "grey62"),
    "EXPIRED": ("⊟", "ended unfilled", "grey62"),
    "DENIED": ("⊘", "denied", "yellow"),
    "REJECTED": ("✕", "rejected", "yellow"),
    "UNKNOWN": ("?", "unknown", "magenta"),
    "BLIND": ("?", "unknown (key)", "magenta"),
    "NEVER_ARRIVED": ("?", "never arrived", "magenta"),
}
_NONE = (" ", "", "")
_PROTECTION = {
    "protected_native": ("■ at the exchange", "green"),
    "protected_watched": ("□ watched", "cyan"),
    "dust": ("· dust", "grey62"),
    "blind": ("? blind", "magenta"),
    "blocked_by_your_order": ("⊘ blocked", "yellow"),
    "halted": ("– halted", "yellow"),
    "unprotected": ("✕ UNPROTECTED", "red"),
    "unprotected_by_you": ("✕ by you", "yellow"),
}
# At this height table and positions fit together; below, the table is shown while the fan-out is young if it
# fits with so many lines around it, and else the cells of the grid stand for it.
_TALL = 52
_AROUND = 12
# Below this width names give way to what happened.
_NAMED = 96
_LOG_SHOWN = 7


def picture(stage: Stage, width: int, height: int) -> RenderableType:
    """Draw the stage for a terminal of this size."""
    parts: list[RenderableType] = [header(stage), ""]
    left = height - 5
    if height >= _TALL or (stage.is_fanning and height >= len(stage.rows) + _AROUND):
        table = fan_table(stage, width)
        parts += [table, ""]
        left -= len(stage.rows) + 3
    else:
        grid = list(fan_grid(stage))
        parts += [*grid, ""]
        left -= len(grid) + 1
        attention = [row for row in stage.rows.values() if row.state in _LOUD]
        parts += [_attention(row) for row in attention[:3]]
        left -= min(len(attention), 3)
    # Two lines are the positions' heading and the blank line after them; the log gets what they leave.
    shown = min(len(stage.positions), max(left - _LOG_SHOWN - 3, 0))
    if shown:
        parts += [positions_table(stage, most=shown), ""]
        left -= shown + 3
    texts = log_texts(stage, max(left, 3))
    return Group(*parts, *(Text(text, style="grey74", no_wrap=True, overflow="ellipsis") for text in texts))


_LOUD = frozenset({"UNKNOWN", "BLIND", "NEVER_ARRIVED", "REJECTED", "DENIED"})


def header(stage: Stage) -> RenderableType:
    """The first lines: badge, tape, time, and the sums of the fan-out."""
    line = Text.assemble(
        (" PAPER ", "bold white on blue"),
        "  Tradewind demo  ",
        (f"tape {stage.tape}", "bold"),
        f" x{stage.speed}  seed {stage.seed}  ",
        (stage.tape_at, "grey62"),
        no_wrap=True,
        overflow="ellipsis",
    )
    clock = clock_text(stage.elapsed) if stage.started is not None else ""
    return Group(
        line, Text.assemble((stage.act, "bold"), f"  {clock}  ", sums(stage), no_wrap=True, overflow="ellipsis")
    )


def sums(stage: Stage) -> Text:
    """Placed + skipped = accounts, states and protection."""
    states = stage.state_counts()
    skipped = states.pop("SKIPPED", 0)
    placed = sum(states.values())
    if not placed and not skipped:
        return Text("")
    said = "  ".join(f"{CELLS.get(state, _NONE)[1] or state} {count}" for state, count in sorted(states.items()))
    safe = sum(1 for row in stage.positions.values() if row.protection.startswith("protected"))
    return Text(
        f"placed {placed} + skipped {skipped} = {placed + skipped} accounts | {said} | "
        f"protected {safe} of {len(stage.positions)}"
    )


def fan_table(stage: Stage, width: int) -> Table:
    """One line per person: plan, decision with reason, state, what the exchange says, lateness."""
    has_names = width >= _NAMED
    columns = [column for column in _COLUMNS if has_names or column[0] != "user"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="grey62", width=width)
    taken = sum(size + 1 for _, size, _ in columns if size)
    for name, size, is_number in columns:
        # The decision takes what the others leave: its end can be read on the why-card.
        table.add_column(
            name,
            width=size or max(10, width - taken),
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if is_number else "left",
        )
    for row in stage.rows.values():
        late = "" if row.lateness_ms is None else f"{row.lateness_ms:,}"
        names = [row.person.name] if has_names else []
        cells: list[str | Text] = [_decision(row), _state(row), row.venue_order_id, row.quantity, row.price, late]
        table.add_row(str(row.person.number), *names, row.person.plan.value, *cells)
    return table


# Name, width (0: the rest), whether it is a number.
_COLUMNS = (
    ("#", 2, True),
    ("user", 13, False),
    ("plan", 10, False),
    ("decision", 0, False),
    ("state", 19, False),
    ("order", 8, True),
    ("quantity", 9, True),
    ("price", 10, True),
    ("late ms", 7, True),
)


def _decision(row: Row) -> Text:
    style = {"place": "", "skip": "grey62", "key refused": "yellow"}.get(row.decision, "")
    text = row.decision if not row.reason else f"{row.decision}: {row.reason}"
    if row.decision == "place" and row.person.fate.is_failure:
        text = f"place ({row.person.fate.words})"
    return Text(text, style=style)


def _state(row: Row) -> Text:
    if row.decision == "key refused":
        return Text("  no account", style="grey62")
    shape, word, style = CELLS.get(row.state, _NONE)
    found = ", found out" if row.person.fate.is_failure and row.state == "FILLED" else ""
    return Text(f"{shape} {word}{found}", style=style)


def fan_grid(stage: Stage) -> Iterable[Text]:
    """The fan-out as cells, one line per plan with its release time."""
    for plan, rows in groupby(stage.rows.values(), key=lambda row: row.person.plan):
        delay = DEFAULT_PLANS[plan].release_delay_ms
        line = Text(f" {plan.value:<10} {delay / 1_000:g} s  ", no_wrap=True)
        for row in rows:
            shape, _, style = CELLS.get(row.state, _NONE)
            refused = row.decision == "key refused"
            line.append("x " if refused else f"{shape if shape != ' ' else '·'} ", style="grey62" if refused else style)
        yield line


def _attention(row: Row) -> Text:
    shape, word, style = CELLS.get(row.state, _NONE)
    return Text(f" {shape} {row.person.number} {row.person.name}: {word}", style=style, no_wrap=True)


def positions_table(stage: Stage, most: int | None = None) -> Table:
    """Open positions with price now, profit, levels and protection; dust is counted in the title."""
    rows = sorted(stage.positions.values(), key=lambda row: (row.protection == "dust", row.symbol, row.number))
    shown = rows if most is None else rows[:most]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="grey62")
    for name in ("#", "market", "quantity", "entry", "now", "P&L USDT", "%", "stop", "target", "protection"):
        is_text = name in ("market", "protection")
        table.add_column(name, no_wrap=True, justify="left" if is_text else "right", min_width=2)
    for row in shown:
        table.add_row(*_position(row))
    if len(shown) < len(rows):
        table.add_row("", f"and {len(rows) - len(shown)} more")
    return table


def _position(row: PositionRow) -> Sequence[str | Text]:
    words, style = _PROTECTION.get(row.protection, (row.protection, ""))
    return (
        str(row.number),
        row.symbol,
        row.quantity,
        row.entry[:10],
        row.price,
        _gain(row.pnl),
        _gain(row.pnl_pct),
        row.stop,
        row.target,
        Text(words, style=style),
    )


def _gain(text: str) -> Text:
    if not text:
        return Text("")
    arrow, style = ("▲", "green") if text.startswith("+") else ("▼", "red")
    return Text(f"{arrow} {text}", style=style)


def log_texts(stage: Stage, most: int | None = None) -> list[str]:
    """The log's last lines with their times."""
    lines = list(stage.log)
    shown = lines if most is None else lines[-most:]
    return [f"{clock_text(at) if at else '':>8}  {text}" for at, text in shown]
