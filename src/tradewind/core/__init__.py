"""Values, rules and state machines: no clock, no network, no database, no async."""
