"""Print which faults of reliability.md and which holes of order-protocol.md have tests.

python scripts/faults.py           both tables
python scripts/faults.py --brief   the counts alone

Exits 1 where tests/faults.toml or tests/protocol.toml and the tests disagree: a fault said to wait for something has
a test, a number has no fault, a named test does not exist or does not name its section.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
_FAULT = re.compile(r"fault_(\d\d)")
_PLANT = re.compile(r'^    "(\w+)": _', re.MULTILINE)
_SHOWN_TESTS = 2


@dataclass(frozen=True, slots=True)
class Test:
    """A test function: its name, and every word in which it may name a section."""

    name: str
    words: str

    def names_section(self, section: int) -> bool:
        """Say whether the test, or the text at the head of its file, names a section."""
        return re.search(rf"sections?\s(\d+(\.\d+)*,?\s(and\s)?)*{section}\b", self.words) is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    key: str
    what: str
    status: str
    tests: tuple[str, ...] = ()
    why: str = ""


def find_tests(folder: Path = TESTS) -> dict[str, Test]:
    """Find every test function by name."""
    found: dict[str, Test] = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        head = ast.get_docstring(tree) or ""
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                words = f"{head}\n{ast.get_docstring(node) or ''}"
                found[node.name] = Test(node.name, words)
    return found


def find_plants(folder: Path = TESTS) -> set[str]:
    """Find the names of the bugs that the kill harness plants."""
    return set(_PLANT.findall((folder / "crash" / "plants.py").read_text("utf-8")))


def fault_rows(faults: Mapping[str, Any], tests: Mapping[str, Test]) -> tuple[list[Row], list[str]]:
    """Build the table of faults, and say where file and tests disagree."""
    by_fault: dict[str, list[str]] = defaultdict(list)
    for name in tests:
        for number in _FAULT.findall(name):
            by_fault[number].append(name)
    wrong = [
        f"no fault has the number {number}: {by_fault[number][0]}" for number in sorted(set(by_fault) - set(faults))
    ]
    rows = []
    for number, fault in faults.items():
        covering = tuple(by_fault.get(number, ()))
        why = fault.get("waits_for") or fault.get("never") or ""
        if covering and why:
            wrong.append(f"fault {number} has tests ({covering[0]}) and is said to be out of reach: {why}")
        status = "covered" if covering else "never" if "never" in fault else "waits" if why else "open"
        if fault.get("is_covered") and not covering:
            wrong.append(f"fault {number} is said to be covered and no test carries fault_{number}")
        rows.append(Row(number, fault["what"], status, covering, why))
    return rows, wrong


def hole_rows(
    holes: Sequence[Mapping[str, Any]], tests: Mapping[str, Test], plants: set[str]
) -> tuple[list[Row], list[str]]:
    """Build the table of holes, and say which of their tests are missing or name no section."""
    rows, wrong = [], []
    for hole in holes:
        section, named = hole["section"], tuple(hole.get("tests", ()))
        for name in named:
            if name.startswith("plant:"):
                if name.removeprefix("plant:") not in plants:
                    wrong.append(f"section {section}: there is no {name}")
            elif name not in tests:
                wrong.append(f"section {section}: there is no test {name}")
            elif not tests[name].names_section(section):
                wrong.append(f"section {section}: {name} does not name it")
        why = hole.get("waits_for", "")
        rows.append(Row(f"{section}", hole["what"], "covered" if named else "waits" if why else "open", named, why))
    return rows, wrong


def table(rows: Sequence[Row]) -> str:
    """Write rows for people."""
    lines = []
    for row in rows:
        shown = ", ".join(row.tests[:_SHOWN_TESTS])
        more = f" and {len(row.tests) - _SHOWN_TESTS} more" if len(row.tests) > _SHOWN_TESTS else ""
        lines.append(f"{row.key:>2}  {row.status:<8} {row.what}\n{'':13}{shown or row.why or 'no test yet'}{more}")
    return "\n".join(lines)


def counts(rows: Sequence[Row]) -> str:
    """Count rows by status."""
    found = {status: sum(1 for row in rows if row.status == status) for status in ("covered", "open", "waits", "never")}
    words = {"covered": "covered", "open": "not yet", "waits": "not applicable yet", "never": "cannot happen here"}
    return ", ".join(f"{number} {words[status]}" for status, number in found.items() if number)


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 1 where they disagree with the tests."""
    tests, plants = find_tests(), find_plants()
    faults, wrong = fault_rows(tomllib.loads((TESTS / "faults.toml").read_text("utf-8"))["fault"], tests)
    holes, wrong_holes = hole_rows(tomllib.loads((TESTS / "protocol.toml").read_text("utf-8"))["hole"], tests, plants)
    if "--brief" not in arguments:
        print(f"Faults (reliability.md section 3)\n{table(faults)}\n")
        print(f"Holes (order-protocol.md), by section\n{table(holes)}\n")
    print(f"{len(faults)} faults: {counts(faults)}")
    print(f"{len(holes)} holes: {counts(holes)}")
    for line in (*wrong, *wrong_holes):
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong or wrong_holes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
