"""Lots and positions: what we hold, what it cost, and where it came from.

Rules of this file:
1. A lot is what ONE entry order bought; a position is the sum of the lots of one account and symbol.
2. A fee in the base asset lessens what was received; a fee in the quote asset adds to the cost of a buy or
   lessens the proceeds of a sell; a fee in a third asset (BNB) is kept apart and valued later (core.pnl).
3. The sum of the fills is the position, exactly: cost leaves a lot in proportion, the last piece takes the rest.
4. A sell leaves the lots that were fixed when it was claimed, in that order; what it sells beyond them leaves
   the oldest lot first. A sell larger than the lots is a fact we cannot refuse: the excess is returned as
   `unallocated` and never makes a lot negative.
5. Booking a fill twice is prevented by the store's unique key, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from tradewind.core.ids import AccountId, FillId, LotId, OrderId, SignalId, SourceId
from tradewind.core.money import EXACT, NOTHING, ZERO, Asset, Money, Price, Quantity
from tradewind.core.order import Side

# Shares of a cost are kept to 18 decimals, the finest any venue quotes; the last piece takes the remainder.
_COST_STEP = Decimal("1e-18")


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `quantity` is gross (before a base fee), `quote_amount` = quantity x price."""

    fill_id: FillId
    order_id: OrderId
    side: Side
    quantity: Quantity
    price: Price
    quote_amount: Decimal
    fee: Money | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What one entry bought and what is left of it.

    `quantity` is what remains, `cost_quote` what that remainder cost (quote fees included),
    `bought_quantity` and `bought_quote` the totals received and paid, `fees_other` the fees in third assets
    that belong to the remainder. `peak` is the highest price seen, for trailing.
    """

    id: LotId
    account_id: AccountId
    symbol: str
    base: Asset
    quote: Asset
    entry_order_id: OrderId
    opened_at: datetime
    source_id: SourceId | None = None
    signal_id: SignalId | None = None
    # The signal's place in the inbox: what "an earlier signal" means, whatever the clock did.
    signal_seq: int | None = None
    quantity: Quantity = NOTHING
    cost_quote: Decimal = ZERO
    bought_quantity: Quantity = NOTHING
    bought_quote: Decimal = ZERO
    fees_other: tuple[Money, ...] = ()
    stop: Price | None = None
    target: Price | None = None
    trailing_bps: int | None = None
    peak: Price | None = None
    time_exit_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.quantity.is_positive

    @property
    def entry_price(self) -> Price | None:
        """What one unit of the remainder cost, fees in quote and base included; None when empty."""
        return _unit_cost(self.cost_quote, self.quantity)


@dataclass(frozen=True, slots=True)
class Sale:
    """A sold part of a lot: the base of realised P&L.

    `proceeds_quote` is after quote fees, `cost_quote` the share of the lot's cost, `fees_other` third-asset
    fees of this sale and of the sold share of the entry.
    """

    lot_id: LotId
    fill_id: FillId
    quantity: Quantity
    proceeds_quote: Decimal
    cost_quote: Decimal
    quote: Asset
    fees_other: tuple[Money, ...]
    at: datetime

    @property
    def gain_quote(self) -> Decimal:
        """Proceeds less cost, before third-asset fees."""
        return EXACT.subtract(self.proceeds_quote, self.cost_quote)


@dataclass(frozen=True, slots=True)
class Booked:
    """A lot after a fill, with the sale if the fill sold some of it."""

    lot: Lot
    sale: Sale | None = None


@dataclass(frozen=True, slots=True)
class SellPart:
    """How much of a sell comes out of which lot."""

    lot_id: LotId
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class SellSplit:
    """A sell spread over lots, oldest first; `unallocated` is what no lot covers."""

    parts: tuple[SellPart, ...]
    unallocated: Quantity


@dataclass(frozen=True, slots=True)
class SellBooked:
    """All touched lots after a sell fill, the sales, what no lot covered, and what its parts did not foresee.

    `beyond_parts` is 0 for a sell whose claim fixed no parts, and contains `unallocated` otherwise.
    """

    lots: tuple[Lot, ...]
    sales: tuple[Sale, ...]
    unallocated: Quantity
    beyond_parts: Quantity = NOTHING


@dataclass(frozen=True, slots=True)
class Position:
    """The open lots of one account and symbol, added up."""

    account_id: AccountId
    symbol: str
    base: Asset
    quote: Asset
    quantity: Quantity
    cost_quote: Decimal
    opened_at: datetime
    lots: tuple[Lot, ...]

    @property
    def average_entry(self) -> Price | None:
        """Cost of one unit over all lots, fees included."""
        return _unit_cost(self.cost_quote, self.quantity)

    def unrealised(self, price: Price) -> Money:
        """What selling now would gain over cost, before the exit's own fee."""
        return Money(EXACT.subtract(price.cost(self.quantity), self.cost_quote), self.quote)


def apply_fill(lot: Lot, fill: Fill) -> Booked:
    """Book one fill into a lot; a new lot starts with quantity 0.

    A sell must not exceed the lot (use `book_sell` for a sell over several lots): ValueError otherwise.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> lot = Lot(id=LotId("l"), account_id=AccountId("a"), symbol="BTCUSDT", base=Asset("BTC"),
    ...           quote=Asset("USDT"), entry_order_id=OrderId("o"), opened_at=at)
    >>> buy = Fill(FillId("1"), OrderId("o"), Side.BUY, Quantity(Decimal("0.1")), Price(Decimal(50000)),
    ...            Decimal(5000), Money(Decimal("0.0001"), Asset("BTC")), at)
    >>> after = apply_fill(lot, buy).lot
    >>> str(after.quantity), after.cost_quote
    ('0.0999', Decimal('5000'))
    """
    if fill.side is Side.BUY:
        return Booked(_bought(lot, fill))
    return _sold(lot, fill)


def split_sell(lots: Sequence[Lot], quantity: Quantity) -> SellSplit:
    """Spread a sell over open lots, oldest first; never more than a lot holds."""
    left = quantity
    parts: list[SellPart] = []
    for lot in sorted(lots, key=lambda each: (each.opened_at, each.id)):
        taken = min(left, lot.quantity)
        if taken.is_positive:
            parts.append(SellPart(lot.id, taken))
            left = left - taken
    return SellSplit(tuple(parts), left)


def parts_after(parts: Sequence[SellPart], quantity: Quantity) -> tuple[SellPart, ...]:
    """Return what is left of a sell's parts once the first `quantity` of it is taken.

    >>> parts = [SellPart(LotId("a"), Quantity(Decimal(2))), SellPart(LotId("b"), Quantity(Decimal(3)))]
    >>> [(part.lot_id, str(part.quantity)) for part in parts_after(parts, Quantity(Decimal(4)))]
    [('b', '1')]
    """
    left, gone = [], quantity
    for part in parts:
        taken = min(gone, part.quantity)
        gone = gone - taken
        if part.quantity > taken:
            left.append(SellPart(part.lot_id, part.quantity - taken))
    return tuple(left)


def parts_within(parts: Sequence[SellPart], quantity: Quantity) -> tuple[SellPart, ...]:
    """Return the first `quantity` of a sell's parts."""
    found, left = [], quantity
    for part in parts:
        taken = min(left, part.quantity)
        left = left - taken
        if taken.is_positive:
            found.append(SellPart(part.lot_id, taken))
    return tuple(found)


def take_free(lots: Sequence[Lot], taken: Sequence[SellPart], quantity: Quantity) -> tuple[SellPart, ...]:
    """Choose up to `quantity` out of lots, oldest first, leaving alone what other sells (`taken`) may still take."""
    free = {lot.id: lot.quantity for lot in lots}
    for part in taken:
        if part.lot_id in free:
            free[part.lot_id] = free[part.lot_id] - min(part.quantity, free[part.lot_id])
    return split_sell([replace(lot, quantity=free[lot.id]) for lot in lots], quantity).parts


def book_sell(lots: Sequence[Lot], fill: Fill, parts: Sequence[SellPart] | None = None) -> SellBooked:
    """Book one sell fill over lots, sharing amount and fee in proportion.

    `parts` is what the sell's claim fixed and earlier fills have not taken yet (None: it fixed nothing); it goes
    first, in order. What it does not cover leaves the lots oldest first. Lots not touched are not returned.
    """
    by_id = {lot.id: lot for lot in lots}
    # A base fee on a sell takes coins too: they leave the same lots.
    split, beyond = _split_by_parts(lots, fill.quantity, parts or ())
    booked: list[Booked] = []
    rest = fill
    for part in split.parts:
        piece, rest = _cut(rest, part.quantity)
        booked.append(_sold(by_id[part.lot_id], piece))
    return SellBooked(
        tuple(each.lot for each in booked),
        tuple(each.sale for each in booked if each.sale is not None),
        split.unallocated,
        NOTHING if parts is None else beyond,
    )


def taken_outside(lot: Lot, quantity: Quantity, fill_id: FillId, at: datetime) -> Booked:
    """Take coins out of a lot that left by other hands than ours: at cost, so without result."""
    assert quantity <= lot.quantity, "no lot loses more than it holds"
    cost = _share(lot.cost_quote, quantity, lot.quantity)
    fees = tuple(Money(_share(each.amount, quantity, lot.quantity), each.asset) for each in lot.fees_other)
    kept = _less_fees(lot.fees_other, fees)
    left_cost = EXACT.subtract(lot.cost_quote, cost)
    left = replace(lot, quantity=lot.quantity - quantity, cost_quote=left_cost, fees_other=kept)
    return Booked(left, Sale(lot.id, fill_id, quantity, cost, cost, lot.quote, (), at))


def positions_of(lots: Sequence[Lot]) -> tuple[Position, ...]:
    """Add open lots up by account and symbol, in the order of their first lot."""
    groups: dict[tuple[AccountId, str], list[Lot]] = {}
    for lot in sorted(lots, key=lambda each: (each.opened_at, each.id)):
        if lot.is_open:
            groups.setdefault((lot.account_id, lot.symbol), []).append(lot)
    return tuple(_position(group) for group in groups.values())


def sellable(held: Quantity, sells_not_ended: Sequence[Quantity]) -> Quantity:
    """Return what may be sold: held less every sell of ours that has not ended, never below zero.

    `sells_not_ended` are the REMAINING quantities of sells INTENDED to BLIND and CANCEL_SENT
    (order-protocol.md section 4).
    """
    left = held.value
    for quantity in sells_not_ended:
        left = EXACT.subtract(left, quantity.value)
    return Quantity(max(left, ZERO))


def _split_by_parts(lots: Sequence[Lot], quantity: Quantity, parts: Sequence[SellPart]) -> tuple[SellSplit, Quantity]:
    """Spread a fill by its parts, each lot once; also how much of it the parts did not place."""
    taken: dict[LotId, Quantity] = {}
    held = {lot.id: lot.quantity for lot in lots}
    for part in parts_within(parts, quantity):
        step = min(part.quantity, held.get(part.lot_id, NOTHING) - taken.get(part.lot_id, NOTHING))
        if step.is_positive:
            taken[part.lot_id] = taken.get(part.lot_id, NOTHING) + step
    beyond = quantity
    for step in taken.values():
        beyond = beyond - step
    rest = split_sell([replace(lot, quantity=lot.quantity - taken.get(lot.id, NOTHING)) for lot in lots], beyond)
    for part in rest.parts:
        taken[part.lot_id] = taken.get(part.lot_id, NOTHING) + part.quantity
    return SellSplit(tuple(SellPart(lot_id, step) for lot_id, step in taken.items()), rest.unallocated), beyond


def _position(lots: Sequence[Lot]) -> Position:
    first = lots[0]
    quantity, cost = NOTHING, ZERO
    for lot in lots:
        quantity = quantity + lot.quantity
        cost = EXACT.add(cost, lot.cost_quote)
    return Position(
        first.account_id, first.symbol, first.base, first.quote, quantity, cost, first.opened_at, tuple(lots)
    )


def _bought(lot: Lot, fill: Fill) -> Lot:
    received, cost, others = fill.quantity, fill.quote_amount, lot.fees_other
    fee = fill.fee
    if fee is not None and fee.asset == lot.base:
        received = Quantity(max(ZERO, EXACT.subtract(received.value, fee.amount)))
    elif fee is not None and fee.asset == lot.quote:
        cost = EXACT.add(cost, fee.amount)
    elif fee is not None:
        others = add_fees(others, (fee,))
    return replace(
        lot,
        quantity=lot.quantity + received,
        cost_quote=EXACT.add(lot.cost_quote, cost),
        bought_quantity=lot.bought_quantity + received,
        bought_quote=EXACT.add(lot.bought_quote, cost),
        fees_other=others,
        peak=fill.price if lot.peak is None else max(lot.peak, fill.price),
    )


def _sold(lot: Lot, fill: Fill) -> Booked:
    if fill.quantity > lot.quantity:
        raise ValueError(f"a lot of {lot.quantity} {lot.base} cannot sell {fill.quantity}")
    fee = fill.fee
    proceeds, sale_fees = fill.quote_amount, ()  # type: Decimal, tuple[Money, ...]
    gone = fill.quantity
    if fee is not None and fee.asset == lot.quote:
        proceeds = EXACT.subtract(proceeds, fee.amount)
    elif fee is not None and fee.asset == lot.base:
        gone = min(lot.quantity, Quantity(EXACT.add(gone.value, fee.amount)))
    elif fee is not None:
        sale_fees = (fee,)
    cost = _share(lot.cost_quote, gone, lot.quantity)
    entry_fees = tuple(Money(_share(each.amount, gone, lot.quantity), each.asset) for each in lot.fees_other)
    left = replace(
        lot,
        quantity=lot.quantity - gone,
        cost_quote=EXACT.subtract(lot.cost_quote, cost),
        fees_other=_less_fees(lot.fees_other, entry_fees),
    )
    all_fees = add_fees(entry_fees, sale_fees)
    return Booked(left, Sale(lot.id, fill.fill_id, gone, proceeds, cost, lot.quote, all_fees, fill.at))


def _cut(fill: Fill, quantity: Quantity) -> tuple[Fill, Fill]:
    """Cut a fill in two; amounts are shared in proportion and add up exactly."""
    amount = _share(fill.quote_amount, quantity, fill.quantity)
    fee = None if fill.fee is None else Money(_share(fill.fee.amount, quantity, fill.quantity), fill.fee.asset)
    piece = replace(fill, quantity=quantity, quote_amount=amount, fee=fee)
    rest = replace(
        fill,
        quantity=fill.quantity - quantity,
        quote_amount=EXACT.subtract(fill.quote_amount, amount),
        fee=None if fill.fee is None or fee is None else fill.fee - fee,
    )
    return piece, rest


def _share(amount: Decimal, part: Quantity, whole: Quantity) -> Decimal:
    """`amount` x part / whole to 18 decimals; the whole of it when part = whole."""
    if part == whole:
        return amount
    exact = EXACT.divide(EXACT.multiply(amount, part.value), whole.value)
    return exact.quantize(_COST_STEP, rounding=ROUND_HALF_EVEN, context=EXACT)


def add_fees(fees: tuple[Money, ...], more: tuple[Money, ...]) -> tuple[Money, ...]:
    """Add fees up by asset, in order of first appearance."""
    sums: dict[Asset, Money] = {}
    for fee in (*fees, *more):
        sums[fee.asset] = sums[fee.asset] + fee if fee.asset in sums else fee
    return tuple(sums.values())


def _less_fees(fees: tuple[Money, ...], taken: tuple[Money, ...]) -> tuple[Money, ...]:
    left = (fee - part for fee, part in zip(fees, taken, strict=True))
    return tuple(each for each in left if each.amount != ZERO)


def _unit_cost(cost: Decimal, quantity: Quantity) -> Price | None:
    if not quantity.is_positive or cost <= ZERO:
        return None
    return Price(EXACT.divide(cost, quantity.value))
