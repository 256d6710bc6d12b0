"""Database, outbox, bus, clock, ids, logs: what every room stands on."""
