"""What every account holds: lots, positions, balances, and what they earned."""
