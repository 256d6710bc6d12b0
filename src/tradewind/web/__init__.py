"""What every HTTP door shares: who calls, how errors look, limits, pages, repeated requests."""
