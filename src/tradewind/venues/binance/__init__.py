"""Binance spot: a pure codec, pure signing, and a thin client around them."""
