"""Every table belongs to somebody, and says so."""

from __future__ import annotations

from scripts.new_migration import all_tables

# A row of these belongs to a user, directly or through the row it names.
_OWNERS = ("user_id", "owner_id", "tenant_id", "account_id", "order_id", "source_id")
# What belongs to nobody, or to the platform.
_PLATFORM = {
    "users": "the people themselves",
    "plans": "offered to everyone",
    "platform_keys": "sealed keys of the platform",
    "kek_derivations": "the salt of the passphrase",
    "instrument_catalogues": "what a venue trades, the same for everyone",
    "retry_requests": "asked by an operator for all accounts of a signal",
    "restores": "a database put back from a backup concerns every account",
    "audit_head": "the end of the one audit chain",
    "installation": "the name of the installation itself",
    "epochs": "who may write the journal, and the number of the last emergency stop",
    "emergency_stops": "of the platform, a venue, a user or an account: the scope says which",
}


def test_table_when_declared_belongs_to_somebody() -> None:
    tables = all_tables().tables
    ownerless = {name for name, table in tables.items() if not any(owner in table.c for owner in _OWNERS)}
    assert sorted(ownerless - _PLATFORM.keys()) == [], "add user_id, or say in _PLATFORM whose it is"
    assert sorted(_PLATFORM.keys() - ownerless) == [], "take it off the list"


def test_table_when_declared_has_a_primary_key_and_named_constraints() -> None:
    for name, table in all_tables().tables.items():
        assert list(table.primary_key), f"{name} has no primary key"


def test_money_column_when_declared_is_exact() -> None:
    inexact = [
        f"{table.name}.{column.name}"
        for table in all_tables().tables.values()
        for column in table.c
        if type(column.type).__name__ in ("Float", "REAL", "Double", "DateTime")
    ]
    assert inexact == [], "use Exact for amounts and UtcTime for times"
