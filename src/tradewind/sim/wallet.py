"""One account's money: free and locked per asset.

Invariants, asserted on every move: neither part is ever negative, and moving between them changes no total. What leaves
or enters an account altogether does so only through `credit`, `debit` and `spend_held`.
"""

from __future__ import annotations

from decimal import Decimal

from tradewind.sim.types import ZERO, AssetBalance

_EMPTY = AssetBalance(ZERO, ZERO)


class Wallet:
    """Balances by asset; amounts are exact and never rounded here."""

    __slots__ = ("_balances",)

    def __init__(self) -> None:
        self._balances: dict[str, AssetBalance] = {}

    def __getitem__(self, asset: str) -> AssetBalance:
        return self._balances.get(asset, _EMPTY)

    def balances(self) -> dict[str, AssetBalance]:
        """A copy, by asset, of everything the account ever held."""
        return dict(self._balances)

    def restore(self, asset: str, balance: AssetBalance) -> None:
        """Set a balance as it was stored."""
        self._set(asset, *balance)

    def credit(self, asset: str, amount: Decimal) -> None:
        """Add to the free part."""
        free, locked = self[asset]
        self._set(asset, free + amount, locked)

    def debit(self, asset: str, amount: Decimal) -> None:
        """Take from the free part."""
        free, locked = self[asset]
        self._set(asset, free - amount, locked)

    def hold(self, asset: str, amount: Decimal) -> None:
        """Move from free to locked."""
        free, locked = self[asset]
        self._set(asset, free - amount, locked + amount)

    def release(self, asset: str, amount: Decimal) -> None:
        """Move from locked to free."""
        self.hold(asset, -amount)

    def spend_held(self, asset: str, amount: Decimal) -> None:
        """Take from the locked part."""
        free, locked = self[asset]
        self._set(asset, free, locked - amount)

    def _set(self, asset: str, free: Decimal, locked: Decimal) -> None:
        assert free >= 0, f"free {asset} would become {free}"
        assert locked >= 0, f"locked {asset} would become {locked}"
        self._balances[asset] = AssetBalance(free, locked)
