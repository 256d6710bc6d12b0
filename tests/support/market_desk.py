"""A desk whose market is what the test says, and exits on it over a journal of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.journal import BTCUSDT, Desk, venue_now

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Price
from tradewind.core.order import Order
from tradewind.execution.cancels import CancelDesk
from tradewind.execution.exits import ExitDesk, Move
from tradewind.execution.journal import Claim
from tradewind.execution.latch import Latch
from tradewind.execution.recorder import Recorder
from tradewind.execution.scene import see
from tradewind.execution.submit import Submitter
from tradewind.venues.base import Protection, Signer, VenueClient


@dataclass
class MarketDesk:
    """Lists one market, or none, at one price, or none."""

    price: Price | None = None
    listed: Instrument | None = None
    blind: bool = False
    native: Protection = Protection.OCO
    # Markets that were asked whether they trade.
    asked: list[str] = field(default_factory=list)

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        if self.listed is None:
            raise NotFound("unknown_symbol", "not listed")
        return self.listed

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        return self.price

    def protection(self, venue: VenueName, environment: Environment) -> Protection:
        return self.native

    def is_blind(self, account_id: AccountId) -> bool:
        return self.blind

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str) -> None:
        self.asked.append(symbol)

    def client(self, venue: VenueName, environment: Environment) -> VenueClient:
        raise NotImplementedError

    def signer(self, account_id: AccountId) -> Signer:
        raise NotImplementedError


@dataclass
class ExitBench:
    """The real exits over the journal of a test."""

    room: Desk
    market: MarketDesk
    exits: ExitDesk = field(init=False)

    def __post_init__(self) -> None:
        room, latch = self.room, Latch()
        recorder = Recorder(room.db, room.applier, room.clock, latch)
        submitter = Submitter(self.market, latch, room.clock, lambda _account, _code: None)
        cancels = CancelDesk(room.db, room.journal, recorder, submitter, room.clock)
        self.exits = ExitDesk(room.journal, recorder, self.market, cancels, room.clock)

    def decide(self, order: Order) -> Move:
        """Say what the exit of an order does next, as a look would see it."""
        key = (order.account_id, order.symbol)
        scenes = self.room.db.read_now(lambda tx: see(tx, [key])).exits[key]
        return next(self.exits.decide(scene) for scene in scenes if scene.intent.id == order.intent_id)

    def write(self, *moves: Move) -> None:
        """Write what exits do next."""
        self.room.db.write_now(lambda tx: self.exits.write(tx, moves, self.room.clock.now()))

    def claim(self, *moves: Move) -> Claim:
        """Claim the sales that these exits want, in one transaction."""
        markets = {move.sold[0].id: move.sold[1] for move in moves if move.sold is not None}
        now = self.room.clock.now()
        return self.room.db.write_now(lambda tx: self.room.journal.claim_exits(tx, markets, venue_now, now))


def exit_bench(room: Desk, *, price: Price | None = None) -> ExitBench:
    """Lay out exits in a market that trades."""
    return ExitBench(room, MarketDesk(price, BTCUSDT))
