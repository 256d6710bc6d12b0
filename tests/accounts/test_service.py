"""Accounts: naming, caps, pausing, errors, deleting; and who may."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from tests.support.linked import OPEN_SOURCE, Accommodation, accommodation

from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.service import LIVE_SENTENCE, LIVE_SENTENCE_KO, Changes
from tradewind.core.errors import Conflict, InvalidInput, NotFound
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.money import Asset


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Accommodation]:
    with accommodation(tmp_path) as rooms:
        yield rooms


@pytest.fixture
async def mine(rooms: Accommodation) -> AccountRow:
    return (await rooms.linked_account("ann"))[1]


def _change(rooms: Accommodation, row: AccountRow, changes: Changes) -> AccountRow:
    return rooms.house.db.write_now(
        lambda tx: rooms.accounts.change(tx, row.user_id, row.id, changes, actor=f"user:{row.user_id}")
    )


def _pause(rooms: Accommodation, row: AccountRow) -> AccountRow:
    return rooms.house.db.write_now(lambda tx: rooms.accounts.pause(tx, row.user_id, row.id, actor="x"))


def _resume(rooms: Accommodation, row: AccountRow) -> AccountRow:
    return rooms.house.db.write_now(lambda tx: rooms.accounts.resume(tx, row.user_id, row.id, actor="x"))


def _fail(rooms: Accommodation, row: AccountRow) -> AccountRow | None:
    return rooms.house.db.write_now(lambda tx: rooms.accounts.record_credential_error(tx, row.id))


def _succeed(rooms: Accommodation, row: AccountRow) -> None:
    rooms.house.db.write_now(lambda tx: rooms.accounts.record_success(tx, row.id))


async def test_change_when_caps_are_set_then_are_exact_and_a_missing_field_stays(
    rooms: Accommodation, mine: AccountRow
) -> None:
    changed = _change(
        rooms, mine, Changes(max_order_quote=Decimal("25.10"), max_day_quote=Decimal(100), quote_asset=Asset("USDC"))
    )
    assert (str(changed.max_order_quote), changed.max_day_quote) == ("25.10", Decimal(100))
    again = _change(rooms, mine, Changes(label=" spot  one ", max_day_quote=None, dry_run=True))
    assert (again.label, again.max_order_quote, again.max_day_quote) == ("spot one", Decimal("25.1"), None)
    assert (again.quote_asset, again.dry_run) == ("USDC", True)
    assert again.rev > changed.rev > mine.rev


@pytest.mark.parametrize(
    "changes",
    [
        Changes(max_order_quote=Decimal(0)),
        Changes(max_day_quote=Decimal(-1)),
        Changes(label="  "),
        Changes(label="a" * 81),
        Changes(label="a\x07b"),
    ],
)
async def test_change_when_it_makes_no_sense_then_nothing_changes(
    rooms: Accommodation, mine: AccountRow, changes: Changes
) -> None:
    with pytest.raises(InvalidInput):
        _change(rooms, mine, changes)
    assert rooms.load(mine) == mine


async def test_pause_when_done_twice_then_is_told_and_audited_once(rooms: Accommodation, mine: AccountRow) -> None:
    paused = _pause(rooms, mine)
    assert (paused.status, paused.status_reason, paused.is_active) == (AccountStatus.PAUSED, "by_user", False)
    assert _pause(rooms, mine).rev == paused.rev
    resumed = _resume(rooms, mine)
    assert (resumed.status, resumed.status_reason) == (AccountStatus.ACTIVE, None)
    entries = rooms.house.db.read_now(lambda tx: rooms.house.audit.entries_of_user(tx, mine.user_id))
    assert [entry.action for entry in entries].count("account.paused") == 1


async def test_errors_when_five_come_in_a_row_then_the_account_is_disabled_with_a_notice(
    rooms: Accommodation, mine: AccountRow
) -> None:
    for count in range(1, 5):
        row = _fail(rooms, mine)
        assert row is not None
        assert (row.credential_errors, row.status) == (count, AccountStatus.ACTIVE)
    row = _fail(rooms, mine)
    assert row is not None
    assert (row.status, row.status_reason) == (AccountStatus.DISABLED, "credential_errors")
    notes = rooms.house.db.read_now(lambda tx: tx.execute(text("SELECT payload FROM outbox ORDER BY seq")).all())
    assert '"disabled"' in notes[-1].payload
    row = _fail(rooms, mine)
    assert row is not None
    assert row.credential_errors == 6
    resumed = _resume(rooms, mine)
    assert (resumed.status, resumed.credential_errors) == (AccountStatus.ACTIVE, 0)


async def test_errors_when_a_success_lies_between_then_the_count_starts_anew(
    rooms: Accommodation, mine: AccountRow
) -> None:
    for _ in range(4):
        _fail(rooms, mine)
    _succeed(rooms, mine)
    for _ in range(4):
        _fail(rooms, mine)
    assert rooms.load(mine).status is AccountStatus.ACTIVE


async def test_errors_when_the_account_is_gone_then_is_harmless(rooms: Accommodation) -> None:
    assert rooms.house.db.write_now(lambda tx: rooms.accounts.record_credential_error(tx, AccountId("x"))) is None


async def test_live_when_the_account_is_paper_then_there_is_nothing_to_confirm(
    rooms: Accommodation, mine: AccountRow
) -> None:
    with pytest.raises(Conflict, match="paper"):
        rooms.house.db.write_now(
            lambda tx: rooms.accounts.confirm_live(tx, mine.user_id, mine.id, LIVE_SENTENCE, actor="x")
        )


@pytest.mark.parametrize("typed", [LIVE_SENTENCE, LIVE_SENTENCE.lower() + ".", LIVE_SENTENCE_KO])
async def test_live_when_the_sentence_is_typed_then_is_confirmed_until_taken_back(
    rooms: Accommodation, mine: AccountRow, typed: str
) -> None:
    accounts, write = rooms.accounts, rooms.house.db.write_now
    write(lambda tx: tx.execute(text("UPDATE accounts SET environment = 'live'")))
    for wrong in ("", "yes", "I trade"):
        with pytest.raises(InvalidInput):
            write(lambda tx, wrong=wrong: accounts.confirm_live(tx, mine.user_id, mine.id, wrong, actor="x"))  # type: ignore[misc]
    confirmed = write(lambda tx: accounts.confirm_live(tx, mine.user_id, mine.id, typed, actor="x"))
    assert confirmed.live_confirmed_at == rooms.house.clock.now()
    withdrawn = write(lambda tx: accounts.withdraw_live(tx, mine.user_id, mine.id, actor="x"))
    assert withdrawn.live_confirmed_at is None


async def test_delete_when_something_is_open_then_the_key_that_could_close_it_stays(
    rooms: Accommodation, mine: AccountRow
) -> None:
    accounts, write = rooms.accounts, rooms.house.db.write_now
    rooms.busy_accounts.add(mine.id)
    with pytest.raises(Conflict) as caught:
        write(lambda tx: accounts.delete(tx, mine.user_id, mine.id, actor="x"))
    assert caught.value.code == "account_in_use"
    with pytest.raises(Conflict):
        write(lambda tx: accounts.remove_key(tx, mine.user_id, mine.id, actor="x"))
    assert rooms.load(mine) == mine


async def test_delete_when_nothing_is_open_then_account_key_and_mandates_are_gone(
    rooms: Accommodation, mine: AccountRow
) -> None:
    write = rooms.house.db.write_now
    _give(rooms, mine)
    write(lambda tx: rooms.accounts.delete(tx, mine.user_id, mine.id, actor="x"))
    with pytest.raises(NotFound):
        rooms.load(mine)
    assert rooms.house.db.read_now(rooms.accounts.list_all) == []
    assert rooms.house.db.read_now(lambda tx: rooms.accounts.load_many(tx, [mine.id])) == {}
    assert rooms.house.db.read_now(lambda tx: rooms.mandates.load_for_source(tx, SourceId(OPEN_SOURCE))) == []
    for table, count in (("credentials", 0), ("mandates", 0), ("accounts", 1)):
        found = rooms.house.db.read_now(lambda tx, t=table: tx.execute(text(f"SELECT count(*) FROM {t}")).scalar_one())  # type: ignore[misc]
        assert found == count


async def test_remove_key_when_done_then_the_account_stays_and_cannot_be_resumed(
    rooms: Accommodation, mine: AccountRow
) -> None:
    row = rooms.house.db.write_now(lambda tx: rooms.accounts.remove_key(tx, mine.user_id, mine.id, actor="x"))
    assert (row.has_credential, row.status, row.status_reason) == (False, AccountStatus.DISABLED, "no_key")
    assert not row.has_verified_trade_right
    with pytest.raises(Conflict) as caught:
        _resume(rooms, mine)
    assert caught.value.code == "account_without_key"


async def test_accounts_when_another_user_asks_then_there_is_none_such(rooms: Accommodation, mine: AccountRow) -> None:
    bob, a = rooms.house.add_user("bob").id, rooms.accounts
    write = rooms.house.db.write_now
    with pytest.raises(NotFound):
        write(lambda tx: a.load(tx, bob, mine.id))
    with pytest.raises(NotFound):
        write(lambda tx: a.load_by_credential(tx, bob, mine.credential_id or ""))
    with pytest.raises(NotFound):
        write(lambda tx: a.change(tx, bob, mine.id, Changes(label="stolen"), actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: a.pause(tx, bob, mine.id, actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: a.resume(tx, bob, mine.id, actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: a.remove_key(tx, bob, mine.id, actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: a.delete(tx, bob, mine.id, actor="x"))
    assert write(lambda tx: a.list_of(tx, bob)) == []
    assert rooms.load(mine) == mine


async def test_index_when_two_rows_are_of_one_venue_account_then_the_database_itself_refuses(
    rooms: Accommodation, mine: AccountRow
) -> None:
    """order-protocol.md section 7."""
    columns = "user_id, venue, environment, label, venue_user_id, permission_source, can_read, can_trade, can_withdraw"
    rest = "credential_errors, credential_version, dry_run, created_at, rev"
    twin = (
        f"INSERT INTO accounts (id, status, is_stand_in, {columns}, {rest}) "
        f"SELECT :id, :status, :stand_in, {columns}, {rest} FROM accounts WHERE id = :mine"
    )

    def insert(status: str, *, stand_in: bool) -> None:
        values = {"id": f"{status}-{stand_in}", "status": status, "stand_in": stand_in, "mine": mine.id}
        rooms.house.db.write_now(lambda tx: tx.execute(text(twin), values))

    insert("deleted", stand_in=False)
    insert("active", stand_in=True)
    # Linking tells the two unique constraints apart by these names.
    with pytest.raises(IntegrityError, match="venue_user"):
        insert("active", stand_in=False)
    with pytest.raises(IntegrityError, match="venue_user"):
        insert("paused", stand_in=False)


# --- mandates ---


def _give(rooms: Accommodation, row: AccountRow, **terms: object) -> Mandate:
    return rooms.house.db.write_now(
        lambda tx: rooms.mandates.create(tx, row.user_id, row.id, SourceId(OPEN_SOURCE), actor="x", terms=terms)
    )


_ALL_TERMS: dict[str, object] = {
    "is_enabled": False,
    "risk": RiskLevel.HIGH,
    "budget_quote": Decimal("123.45"),
    "max_open_positions": 7,
    "stop_bps": 250,
    "target_bps": 900,
    "min_stop_bps": 10,
    "max_stop_bps": 500,
    "min_target_bps": 30,
    "max_target_bps": 3_000,
    "trailing_bps": 150,
    "time_exit_s": 86_400,
    "follows_source_size": True,
    "quote_preference": Asset("USDC"),
    "allows_adding": True,
}


async def test_mandate_when_given_with_every_term_then_comes_back_the_same(
    rooms: Accommodation, mine: AccountRow
) -> None:
    made = _give(rooms, mine, **_ALL_TERMS)
    assert rooms.house.db.read_now(lambda tx: rooms.mandates.load(tx, mine.user_id, made.id)) == made
    assert {name: getattr(made, name) for name in _ALL_TERMS} == _ALL_TERMS
    ((mandate, account),) = rooms.house.db.read_now(
        lambda tx: rooms.mandates.load_for_source(tx, SourceId(OPEN_SOURCE))
    )
    assert (mandate, account) == (made, mine)


async def test_mandate_when_given_without_terms_then_has_the_products_defaults(
    rooms: Accommodation, mine: AccountRow
) -> None:
    made = _give(rooms, mine)
    assert (made.risk, made.stop_bps, made.target_bps, made.max_open_positions) == (RiskLevel.MEDIUM, 300, 600, 3)


async def test_mandate_when_there_is_one_then_a_second_on_the_same_source_is_refused(
    rooms: Accommodation, mine: AccountRow
) -> None:
    _give(rooms, mine)
    with pytest.raises(Conflict):
        _give(rooms, mine)


@pytest.mark.parametrize(
    "terms",
    [
        {"stop_bps": 0},
        {"stop_bps": 5_000},
        {"max_open_positions": 0},
        {"budget_quote": Decimal(0)},
        {"id": "mine"},
        {"user_id": "mine"},
        {"account_id": "mine"},
        {"no_such": 1},
    ],
)
async def test_mandate_when_terms_contradict_or_are_not_the_users_then_nothing_is_stored(
    rooms: Accommodation, mine: AccountRow, terms: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput):
        _give(rooms, mine, **terms)
    made = _give(rooms, mine)
    with pytest.raises(InvalidInput):
        rooms.house.db.write_now(lambda tx: rooms.mandates.change(tx, mine.user_id, made.id, terms, actor="x"))
    assert rooms.house.db.read_now(lambda tx: rooms.mandates.list_of(tx, mine.user_id)) == [made]


async def test_mandate_when_account_or_source_are_not_theirs_then_there_is_none_such(
    rooms: Accommodation, mine: AccountRow
) -> None:
    bob = rooms.house.add_user("bob").id
    made = _give(rooms, mine)
    write, mandates = rooms.house.db.write_now, rooms.mandates
    with pytest.raises(NotFound):
        write(lambda tx: mandates.create(tx, bob, mine.id, SourceId(OPEN_SOURCE), actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: mandates.create(tx, mine.user_id, mine.id, SourceId("closed"), actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: mandates.load(tx, bob, made.id))
    with pytest.raises(NotFound):
        write(lambda tx: mandates.change(tx, bob, made.id, {"is_enabled": False}, actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: mandates.delete(tx, bob, made.id, actor="x"))
    with pytest.raises(NotFound):
        write(lambda tx: mandates.delete(tx, mine.user_id, MandateId("nowhere"), actor="x"))
    assert write(lambda tx: mandates.list_of(tx, bob)) == []
    assert write(lambda tx: mandates.load(tx, mine.user_id, made.id)) == made


async def test_mandate_when_changed_and_taken_back_then_it_is_so(rooms: Accommodation, mine: AccountRow) -> None:
    made = _give(rooms, mine)
    write, mandates = rooms.house.db.write_now, rooms.mandates
    changed = write(lambda tx: mandates.change(tx, mine.user_id, made.id, {"is_enabled": False}, actor="x"))
    assert (changed.is_enabled, changed.stop_bps) == (False, made.stop_bps)
    write(lambda tx: mandates.delete(tx, mine.user_id, made.id, actor="x"))
    assert write(lambda tx: mandates.list_of(tx, mine.user_id)) == []


async def test_fan_out_when_a_source_has_many_mandates_then_one_query_loads_all_with_their_accounts(
    rooms: Accommodation,
) -> None:
    rows = [(await rooms.linked_account(f"user{number}", number))[1] for number in range(12)]
    for row in rows:
        _give(rooms, row, is_enabled=row is not rows[3])
    _pause(rooms, rows[5])
    rooms.house.db.write_now(lambda tx: rooms.accounts.remove_key(tx, rows[7].user_id, rows[7].id, actor="x"))
    statements: list[str] = []
    event.listen(rooms.house.db._reader, "before_cursor_execute", lambda *args: statements.append(args[2]))
    loaded = rooms.house.db.read_now(lambda tx: rooms.mandates.load_for_source(tx, SourceId(OPEN_SOURCE)))
    assert len([statement for statement in statements if "SELECT" in statement]) == 1
    assert [account.id for _, account in loaded] == sorted(row.id for row in rows)
    by_id = {account.id: (mandate, account) for mandate, account in loaded}
    assert not by_id[rows[3].id][0].is_enabled
    assert by_id[rows[5].id][1].status is AccountStatus.PAUSED
    assert not by_id[rows[7].id][1].has_credential
    assert all(mandate.user_id == account.user_id for mandate, account in loaded)


def test_user_when_they_have_nothing_then_lists_are_empty(rooms: Accommodation) -> None:
    nobody = UserId("nobody")
    assert rooms.house.db.read_now(lambda tx: rooms.accounts.list_of(tx, nobody)) == []
    assert rooms.house.db.read_now(lambda tx: rooms.mandates.list_of(tx, nobody)) == []
