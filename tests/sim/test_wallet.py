"""Free and locked: never negative, moved without loss."""

from decimal import Decimal

import pytest

from tradewind.sim.types import AssetBalance
from tradewind.sim.wallet import Wallet

D = Decimal


def test_wallet_when_money_is_held_released_and_spent_adds_up() -> None:
    wallet = Wallet()
    wallet.credit("USDT", D(100))
    wallet.hold("USDT", D(70))
    wallet.release("USDT", D(20))
    wallet.spend_held("USDT", D(30))
    wallet.debit("USDT", D(5))
    assert wallet["USDT"] == AssetBalance(D(45), D(20))
    assert wallet["ABC"] == AssetBalance(D(0), D(0))
    assert wallet.balances() == {"USDT": AssetBalance(D(45), D(20))}


@pytest.mark.parametrize("move", ["debit", "hold", "release", "spend_held"])
def test_wallet_when_a_part_would_become_negative_stops_and_stays(move: str) -> None:
    wallet = Wallet()
    wallet.credit("USDT", D(10))
    wallet.hold("USDT", D(4))
    with pytest.raises(AssertionError, match="USDT would become"):
        getattr(wallet, move)("USDT", D(7))
    assert wallet["USDT"] == AssetBalance(D(6), D(4))
