"""Lists on the terminal: every cell whole, because people and programs copy ids out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wider than any row; rich would cut cells to the terminal's width, or to 80 in a pipe.
_WIDTH = 2_000


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headers; a row wider than the terminal goes on in its next line."""
    table = Table(*headers, box=None, pad_edge=False)
    for row in rows:
        # As Text: a name in square brackets is a name and no style.
        table.add_row(*(Text(cell) for cell in row))
    Console(width=_WIDTH, soft_wrap=True).print(table)
