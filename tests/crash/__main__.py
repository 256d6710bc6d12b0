"""`make crash`: kill the real process a thousand times and more, and say what held."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.crash.databases import DATABASES
from tests.crash.harness import Total, Wanted, lines_of, run
from tests.crash.plants import PLANTS

from tradewind.infra import log


def main(arguments: Sequence[str]) -> int:
    """Run, print, and answer 1 where something broke."""
    options = _options(arguments)
    log.configure(level="WARNING")
    names = DATABASES if options.database == "both" else (options.database,)
    plants = () if options.plants == "no" else tuple(PLANTS) if options.plants == "yes" else (options.plants,)
    wanted = Wanted(options.kills, options.minutes, options.seed, names, is_kept=options.keep, plants=plants)
    # A short path: a socket stands in it.
    folder = Path(tempfile.mkdtemp(prefix="tw-crash-"))
    total = asyncio.run(run(wanted, folder))
    if options.json:
        sys.stdout.write(json.dumps(total.figures(), indent=2) + "\n")
    else:
        sys.stdout.write(_text(total))
    for line in [*lines_of(total.bad), *(each.line() for each in total.planted if not each.is_found)]:
        sys.stderr.write(line + "\n")
    if total.bad:
        sys.stderr.write(f"everything of these episodes is kept in {folder}\n")
    return 0 if total.is_good else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_200, help="stop after this many")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no episode after this long")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first episode's seed")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good episodes too")
    parser.add_argument("--plants", choices=("yes", "no", *PLANTS), default="yes", help="planted bugs to look for")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _text(total: Total) -> str:
    figures = total.figures()
    by_point = figures.pop("kills_by_point")
    width = max(map(len, figures))
    lines = [f"{name.replace('_', ' '):<{width}}  {_shown(value)}" for name, value in figures.items()]
    if total.planted:
        found = sum(1 for each in total.planted if each.is_found)
        lines.append(f"planted {found} of {len(total.planted)} found")
        lines.extend(f"  {each.line()}" for each in total.planted)
    lines.append("kills by point")
    lines.extend(f"  {point:<30} {count}" for point, count in by_point.items())
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
