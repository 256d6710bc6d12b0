"""People with accounts: the rooms accounts and signer over scripted venues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from tests.support.people import People, people
from tests.support.scripted_venue import ScriptedVenue, ScriptedVenues, VenueKey, sign_hmac

from tradewind.accounts.account import AccountRow
from tradewind.accounts.key_test import KeyTest
from tradewind.accounts.linking import Linked, Linker, LinkRequest
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.routes import AccountsDeps, build_router
from tradewind.accounts.service import Accounts, stored_credentials
from tradewind.core.ids import AccountId, OrderId, UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.identity.people import User
from tradewind.infra.db import Tx
from tradewind.signer.service import InProcessSigner
from tradewind.venues.base import AccountSnapshot

OPEN_SOURCE = "source-1"
ADDRESSES = ("203.0.113.7",)


def key_pair(number: int = 1) -> tuple[str, str]:
    """A key and a secret of the usual form, different for every number."""
    return f"Key{number:04d}".ljust(61, "k") + "End", f"Sec{number:04d}".ljust(61, "s") + "Fin"


@dataclass
class Accommodation:
    """One installation's people with their accounts. What ports answer can be changed at any time."""

    house: People
    venues: ScriptedVenues
    accounts: Accounts
    mandates: Mandates
    signer: InProcessSigner
    linker: Linker
    busy_accounts: set[AccountId] = field(default_factory=set)
    known_orders: set[tuple[OrderId, AccountId]] = field(default_factory=set)
    first_balances: list[tuple[AccountRow, AccountSnapshot]] = field(default_factory=list)

    @property
    def paper(self) -> ScriptedVenue:
        return self.venues.clients[Environment.PAPER]

    def issue_key(self, number: int = 1, *, venue_user_id: str | None = None) -> VenueKey:
        """Have the paper venue issue a key."""
        api_key, secret = key_pair(number)
        return self.paper.add(VenueKey(api_key, secret, venue_user_id or f"uid-{number}"))

    async def link(self, user: User, key: VenueKey, **changes: object) -> Linked:
        """Link an account by its key."""
        return await self.linker.link(request_of(user.id, key, **changes), actor=f"user:{user.id}")

    async def linked_account(self, name: str, number: int = 1) -> tuple[User, AccountRow]:
        """A person with one linked paper account."""
        user = self.house.add_user(name)
        return user, (await self.link(user, self.issue_key(number))).account

    def load(self, row: AccountRow) -> AccountRow:
        """Read an account as it is now."""
        return self.house.db.read_now(lambda tx: self.accounts.load(tx, row.user_id, row.id))

    def app(self) -> FastAPI:
        """Build an app with the routes of accounts."""
        deps = AccountsDeps(
            self.house.db,
            self.house.clock,
            self.accounts,
            self.mandates,
            self.linker,
            self.signer,
            self.house.limiter,
            ADDRESSES,
        )
        return self.house.app(build_router(deps))


def request_of(user_id: UserId, key: VenueKey, **changes: object) -> LinkRequest:
    """A request to link this key."""
    fields: dict[str, object] = {
        "user_id": user_id,
        "venue": BINANCE,
        "environment": Environment.PAPER,
        "label": "my account",
        "api_key": key.api_key,
        "api_secret": key.secret,
    }
    return LinkRequest(**{**fields, **changes})  # type: ignore[arg-type]


@contextmanager
def accommodation(folder: Path) -> Iterator[Accommodation]:
    """Build the rooms over a fresh database and one paper venue."""
    with people(folder) as house:
        yield build(house)


def build(house: People) -> Accommodation:
    """Build accounts and signer over people."""
    venues = ScriptedVenues({Environment.PAPER: ScriptedVenue()})
    built: list[Accommodation] = []

    def is_busy(_tx: Tx, account_id: AccountId) -> bool:
        return account_id in built[0].busy_accounts

    def is_known(order_id: OrderId, account_id: AccountId) -> bool:
        return (order_id, account_id) in built[0].known_orders

    def keep_balances(_tx: Tx, row: AccountRow, snapshot: AccountSnapshot) -> None:
        built[0].first_balances.append((row, snapshot))

    accounts = Accounts(house.clock, house.audit, is_busy)
    mandates = Mandates(house.clock, house.ids, house.audit, lambda _tx, source_id, _user: source_id == OPEN_SOURCE)
    signer = InProcessSigner(house.db, house.vault, stored_credentials, {BINANCE: sign_hmac}, is_order_known=is_known)
    linker = Linker(
        house.db,
        house.clock,
        house.ids,
        accounts=accounts,
        signer=signer,
        key_test=KeyTest(venues.client_of, ADDRESSES),
        on_linked=keep_balances,
    )
    built.append(Accommodation(house, venues, accounts, mandates, signer, linker))
    return built[0]
