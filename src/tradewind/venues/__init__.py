"""Talking to exchanges: a port, what every venue shares, and one folder a venue."""
