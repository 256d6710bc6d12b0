"""Worlds: a folder with platform, exchange and people, built once through the API and copied for every episode."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from tests.crash.killer import create_counts
from tests.crash.numbers import CRASH_ORDERS
from tests.support.platform import world

from tradewind.core.plan import PlanName
from tradewind.infra.db import Db
from tradewind.infra.outbox import outbox

# One of them has a plan whose entries wait a second, so that INTENDED orders are killed over too.
PLANS = (*[PlanName.ENTERPRISE] * 5, PlanName.FLEX)
BASES = ("BTC", "ETH", "SOL", "XRP", "ADA", "AAVE")
# Coins of their own in the accounts with an even place: selling them would be selling what is not ours.
# And those with an odd place trail their stops.
_TRAILING_BPS = 250
OWN_COINS = {base: Decimal(5_000) for base in BASES}


@dataclass(frozen=True, slots=True)
class Person:
    """A user, the account and the exchange's id of it."""

    user_id: str
    account_id: str
    uid: int
    has_own_coins: bool

    def own_coins(self) -> dict[str, Decimal]:
        """What the account held before anything began."""
        return OWN_COINS if self.has_own_coins else {}


@dataclass(frozen=True, slots=True)
class Template:
    """A world nobody has touched yet."""

    folder: Path
    database: str
    source_id: str
    people: tuple[Person, ...]
    # Notes up to this number were published while the world was built.
    notes_before: int


@dataclass(frozen=True, slots=True)
class World:
    """One episode's own copy."""

    folder: Path
    database: str
    source_id: str
    people: tuple[Person, ...]
    notes_before: int

    @property
    def database_url(self) -> str:
        """The database in effect."""
        return self.database or f"sqlite:///{self.folder / 'data' / 'tradewind.db'}"

    @property
    def counts(self) -> Path:
        return self.folder / "points.bin"

    @property
    def published(self) -> Path:
        return self.folder / "published.txt"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    def spec(self) -> dict[str, Any]:
        """What a node needs to know of its world, but for the exchange's addresses."""
        return {
            "data_dir": str(self.folder / "data"),
            "kek_file": str(self.folder / "kek"),
            "database": self.database,
            "counts": str(self.counts),
            "published": str(self.published),
        }


async def build_template(folder: Path, database: str) -> Template:
    """Build a world through the platform's own API; `database` empty: a SQLite file in its folder."""
    address = database or f"sqlite:///{folder / 'data' / 'tradewind.db'}"
    async with world(folder, orders=CRASH_ORDERS, database=address) as place:
        people = place.people(list(PLANS))
        await place.start_platform()
        for place_of, person in enumerate(people):
            own = {base: str(amount) for base, amount in OWN_COINS.items()} if place_of % 2 == 0 else {}
            trailing = {"trailing_bps": _TRAILING_BPS} if place_of % 2 else {}
            await place.link(person, balances={"USDT": "100000", **own}, max_open_positions=len(BASES), **trailing)
        await place.stop_platform()
        db = Db.open(place.settings.database_url)
        try:
            notes = db.read_now(lambda tx: tx.execute(select(func.max(outbox.c.seq))).scalar_one() or 0)
        finally:
            db.close()
        return Template(
            folder,
            database,
            place.source_id,
            tuple(
                Person(person.id, person.account_id, person.uid, place_of % 2 == 0)
                for place_of, person in enumerate(people)
            ),
            notes,
        )


def copy_world(template: Template, folder: Path, database: str) -> World:
    """Copy a world's folder for an episode; `database` is its copy where that is not a file in the folder."""
    shutil.copytree(template.folder, folder)
    create_counts(folder / "points.bin")
    (folder / "published.txt").touch()
    return World(folder, database, template.source_id, template.people, template.notes_before)


def remove_world(folder: Path) -> None:
    """Forget an episode that showed nothing."""
    shutil.rmtree(folder, ignore_errors=True)
