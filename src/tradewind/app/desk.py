"""What the engine asks for while it works, answered from venues, signer and market."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tradewind.accounts.service import Accounts
from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, OrderId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Asset, Price
from tradewind.execution import service as execution
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.infra.log import logger
from tradewind.market.service import Market
from tradewind.portfolio.holding import ShownPrice
from tradewind.signer.service import InProcessSigner
from tradewind.venues.base import Depth, Protection, Signer, VenueClient
from tradewind.venues.registry import Venues

_log = logger("app")

# A symbol's status is asked for again when the last answer is older: thousands of exits share one question.
_STATUS_AGE_S = 2.0
# Orders kept to be recognised by the signer without asking the database.
_KNOWN_MAX = 50_000
# A success is written down this often at most, an error always.
_TOUCH_S = 60.0
# "Credential errors on more than 3 accounts of a venue within a minute are ours" (order-protocol.md section 6).
_OURS_ACCOUNTS = 3
_OURS_WITHIN_S = 60.0
_JUDGE_S = 1.0


@dataclass(slots=True)
class Desk:
    """The engine's desk: clients, signers, rules, prices; all but `confirm` answer at once."""

    venues: Venues
    signers: InProcessSigner
    market: Market
    clock: Clock
    price_age_max_s: float
    credentials: CredentialWatch
    # Where prices to show come from when an account's own venue has none.
    price_place: tuple[VenueName, Environment] | None = None

    def client(self, venue: VenueName, environment: Environment) -> VenueClient:
        """Return the client of a venue. Raises NotFound."""
        return self.venues.client(venue, environment)

    def signer(self, account_id: AccountId) -> Signer:
        """Return an account's signer. Raises CredentialRefused where it has no key."""
        return self.signers.for_account(account_id)

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        """Return an instrument's rules. Raises NotFound."""
        found = self.market.instrument(venue, environment, symbol)
        if found is None:
            raise NotFound("unknown_symbol", f"{venue} ({environment}) lists no {symbol}.")
        return found

    def has_list(self, venue: VenueName, environment: Environment) -> bool:
        """Say whether it is known what a venue lists."""
        return self.market.has_list(venue, environment)

    def find(
        self,
        venue: VenueName,
        environment: Environment,
        base: Asset,
        preference: Asset | None,
        signal_quote: Asset | None,
    ) -> Instrument | None:
        """Choose the market in which an account trades a base asset."""
        return self.market.find(venue, environment, base, preference, signal_quote=signal_quote)

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str) -> None:
        """Ask the venue whether a symbol trades now; `instrument` says it afterwards. Raises NotFound."""
        await self.market.confirm_status(venue, environment, symbol, _STATUS_AGE_S)

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        """Return the venue's own price if it is fresh enough to act on."""
        point = self.market.price(venue, environment, symbol)
        if point is None or not point.is_fresh(self.clock.now(), self.price_age_max_s):
            return None
        return point.price

    def shown_price(self, venue: VenueName, environment: Environment, symbol: str) -> ShownPrice | None:
        """Return the last known price to show, from the platform's price venue where the own one has said nothing.

        For people's eyes only: no order, stop or target is ever decided by it (order-protocol.md section 5).
        """
        point = self.market.price(venue, environment, symbol)
        if point is not None:
            return ShownPrice(point.price, point.age_s(self.clock.now()), venue)
        own, place = self.market.instrument(venue, environment, symbol), self.price_place
        if own is None or place is None or place == (venue, environment):
            return None
        same = self.market.find(*place, own.base, own.quote)
        if same is None or same.quote != own.quote:
            return None
        self.market.watch(*place, [same.symbol])
        point = self.market.price(*place, same.symbol)
        return None if point is None else ShownPrice(point.price, point.age_s(self.clock.now()), place[0])

    async def confirm(self, venue: VenueName, environment: Environment, symbols: Sequence[str]) -> None:
        """Make sure prices are fresh, asking the venue where needed; from now on they are kept fresh."""
        self.market.watch(venue, environment, symbols)
        await self.market.confirm_prices(venue, environment, symbols, self.price_age_max_s)

    async def depth(self, venue: VenueName, environment: Environment, symbol: str, limit: int) -> Depth:
        """Ask a venue for a book. Raises a venue's errors, or NotFound."""
        return await self.venues.client(venue, environment).depth(symbol, limit)

    def protection(self, venue: VenueName, environment: Environment) -> Protection:
        """Return the strongest protection the venue can hold."""
        return self.venues.client(venue, environment).capabilities.protection

    def is_blind(self, account_id: AccountId) -> bool:
        """Say whether the venue refuses the account's key at present."""
        return self.credentials.is_blind(account_id)


@dataclass(slots=True)
class CredentialWatch:
    """Counts what venues say of keys: five errors in a row disable an account, many at once are ours (K7)."""

    db: Db
    accounts: Accounts
    clock: Clock
    place_of: Callable[[AccountId], tuple[VenueName, Environment] | None]
    # Told of an account whose key is refused from now on.
    on_blind: Callable[[AccountId], None] = lambda _account_id: None
    _blind: dict[AccountId, str] = field(default_factory=dict)
    _touched: dict[AccountId, float] = field(default_factory=dict)
    # Refusals not judged yet, with the time at which they count as the account's own.
    _waiting: dict[AccountId, float] = field(default_factory=dict)
    _ours_until: dict[tuple[VenueName, Environment], float] = field(default_factory=dict)
    _queue: asyncio.Queue[tuple[AccountId, bool]] = field(default_factory=lambda: asyncio.Queue(10_000))

    def is_blind(self, account_id: AccountId) -> bool:
        """Say whether the last answer about the account's key was a refusal."""
        return account_id in self._blind

    def reason(self, account_id: AccountId) -> str | None:
        """Return the venue's code for a refused key."""
        return self._blind.get(account_id)

    def note(self, account_id: AccountId, refusal: str | None) -> None:
        """Take one answer: a refusal code, or None for an accepted key. Never waits."""
        now = self.clock.monotonic()
        if refusal is None:
            was_blind = self._blind.pop(account_id, None) is not None
            self._waiting.pop(account_id, None)
            if was_blind or now - self._touched.get(account_id, -_TOUCH_S) >= _TOUCH_S:
                self._touched[account_id] = now
                self._offer(account_id, is_good=True)
            return
        is_news = account_id not in self._blind
        self._blind[account_id] = refusal
        if is_news:
            self.on_blind(account_id)
        self._waiting.setdefault(account_id, now + _OURS_WITHIN_S)

    def is_ours(self, place: tuple[VenueName, Environment]) -> bool:
        """Say whether so many keys of a venue were refused within a minute that the trouble must be ours."""
        return self._ours_until.get(place, 0.0) > self.clock.monotonic()

    def judge(self) -> None:
        """Count refusals that stood alone for a minute; many at one venue are ours and none is counted."""
        now = self.clock.monotonic()
        by_place: dict[tuple[VenueName, Environment] | None, set[AccountId]] = {}
        for account_id in self._waiting:
            by_place.setdefault(self.place_of(account_id), set()).add(account_id)
        for place, accounts in by_place.items():
            if place is not None and len(accounts) > _OURS_ACCOUNTS:
                _log.error("app.credentials.ours", venue=place[0], environment=place[1], accounts=len(accounts))
                self._ours_until[place] = now + _OURS_WITHIN_S
                for account_id in accounts:
                    del self._waiting[account_id]
        for account_id in [each for each, due in self._waiting.items() if due <= now]:
            del self._waiting[account_id]
            self._offer(account_id, is_good=False)

    async def watch(self) -> None:
        """Judge refusals until cancelled."""
        while True:
            await self.clock.sleep(_JUDGE_S)
            self.judge()

    async def run(self) -> None:
        """Write the counts down until cancelled."""
        while True:
            account_id, is_good = await self._queue.get()
            try:
                if is_good:
                    await self.db.write(partial(self.accounts.record_success, account_id=account_id))
                else:
                    await self.db.write(partial(self.accounts.record_credential_error, account_id=account_id))
            except CommitInDoubt:
                raise
            except Exception:
                _log.exception("app.credentials.write_failed", account_id=account_id)

    def _offer(self, account_id: AccountId, *, is_good: bool) -> None:
        if not self._queue.full():
            self._queue.put_nowait((account_id, is_good))


class KnownOrders:
    """Which orders are this installation's: what the signer asks before it signs one."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._owners: OrderedDict[OrderId, AccountId] = OrderedDict()

    def remember(self, order_id: OrderId, account_id: AccountId) -> None:
        """Keep an order that a transaction has just claimed."""
        self._owners[order_id] = account_id
        self._owners.move_to_end(order_id)
        while len(self._owners) > _KNOWN_MAX:
            self._owners.popitem(last=False)

    def is_known(self, order_id: OrderId, account_id: AccountId) -> bool:
        """Say whether the journal holds the order for this account."""
        owner = self._owners.get(order_id)
        if owner is None:
            owner = self._db.read_now(lambda tx: execution.owner_of(tx, order_id))
            if owner is not None:
                self.remember(order_id, owner)
        return owner == account_id
