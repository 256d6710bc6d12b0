"""People, sessions, tokens, suspension."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.db import bytes_of
from tests.support.people import NO_PASSWORD, People, people

from tradewind.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from tradewind.core.ids import UserId
from tradewind.identity.people import User
from tradewind.identity.service import IssuedSession, IssuedToken, NewUser, normal_email
from tradewind.web.principal import Principal, Role, Scope

_READ = frozenset({Scope.READ})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as house:
        yield house


def _open(house: People, user: User) -> IssuedSession:
    return house.db.write_now(lambda tx: house.identity.open_session(tx, user, address="192.0.2.1", agent="test"))


def _issue(house: People, user: User, scopes: frozenset[Scope] = _READ, days: int | None = 90) -> IssuedToken:
    life = None if days is None else timedelta(days=days)
    return house.db.write_now(
        lambda tx: house.identity.issue_token(tx, user.id, label="bot", scopes=scopes, actor="test", life=life)
    )


def _by_session(house: People, issued: IssuedSession) -> Principal:
    token = issued.token.reveal_text()
    return house.db.read_now(lambda tx: house.identity.authenticate_session(tx, token))[0]


def _by_token(house: People, token: str) -> Principal:
    return house.db.read_now(lambda tx: house.identity.authenticate_token(tx, token))[0]


# --- people ---


@pytest.mark.parametrize("email", ["ANN@example.com", " ann@Example.com ", "ａｎｎ@example.com"])
def test_create_when_the_address_is_taken_in_any_spelling_then_is_refused(house: People, email: str) -> None:
    house.add_user("ann")
    new = NewUser(email, "Ann", NO_PASSWORD)
    with pytest.raises(Conflict) as caught:
        house.db.write_now(lambda tx: house.identity.create_user(tx, new, actor="test"))
    assert caught.value.code == "email_taken"


@pytest.mark.parametrize(
    "email", ["", "ann", "@example.com", "ann@", "ann@host", "a b@example.com", "a" * 300 + "@x.y"]
)
def test_email_when_it_is_none_then_is_refused(email: str) -> None:
    with pytest.raises(InvalidInput):
        normal_email(email)


@pytest.mark.parametrize(("name", "language"), [("", "en"), ("a" * 81, "en"), ("a\x00b", "en"), ("Ann", "fr")])
def test_create_when_name_or_language_do_not_fit_then_is_refused(house: People, name: str, language: str) -> None:
    new = NewUser("ann@example.com", name, NO_PASSWORD, language=language)
    with pytest.raises(InvalidInput):
        house.db.write_now(lambda tx: house.identity.create_user(tx, new, actor="test"))


def test_list_when_paged_then_everybody_once_in_order(house: People) -> None:
    made = [house.add_user(f"user{number}").id for number in range(5)]
    first = house.db.read_now(lambda tx: house.identity.list_users(tx, limit=3))
    rest = house.db.read_now(lambda tx: house.identity.list_users(tx, after_id=first[-1].id))
    assert [user.id for user in (*first, *rest)] == made


def test_load_many_when_some_do_not_exist_then_they_are_missing(house: People) -> None:
    ann = house.add_user("ann")
    found = house.db.read_now(lambda tx: house.identity.load_users(tx, [ann.id, UserId("nobody"), ann.id]))
    assert found == {ann.id: ann}
    with pytest.raises(NotFound):
        house.db.read_now(lambda tx: house.identity.load_user(tx, UserId("nobody")))


def test_user_when_written_down_then_the_password_hash_is_not_shown(house: People) -> None:
    assert "argon2" not in repr(house.add_user("ann", password_hash="$argon2id$x"))


def test_suspend_when_it_has_an_end_then_ends_by_itself(house: People) -> None:
    ann = house.add_user("ann")
    until = house.clock.now() + timedelta(days=2)
    ann = house.db.write_now(
        lambda tx: house.identity.suspend(tx, ann.id, reason="asked for it", until=until, actor="cli")
    )
    assert ann.is_suspended(house.clock.now())
    assert ann.is_suspended(until - timedelta(microseconds=1))
    assert not ann.is_suspended(until)


def test_suspend_when_it_has_no_end_then_lasts_until_it_is_lifted(house: People) -> None:
    ann = house.add_user("ann")
    ann = house.db.write_now(lambda tx: house.identity.suspend(tx, ann.id, reason="x", until=None, actor="cli"))
    assert ann.is_suspended(house.clock.now() + timedelta(days=3_650))
    ann = house.db.write_now(lambda tx: house.identity.unsuspend(tx, ann.id, actor="cli"))
    assert not ann.is_suspended(house.clock.now())


def test_suspend_when_reason_or_end_make_no_sense_then_is_refused(house: People) -> None:
    ann = house.add_user("ann")
    for reason, until in (("", None), ("  ", None), ("x", house.clock.now())):
        with pytest.raises(InvalidInput):
            house.db.write_now(
                lambda tx, reason=reason, until=until: house.identity.suspend(  # type: ignore[misc]
                    tx, ann.id, reason=reason, until=until, actor="cli"
                )
            )


def test_acts_when_done_then_are_all_in_the_audit(house: People) -> None:
    ann = house.add_user("ann")
    issued = _issue(house, ann)
    session = _open(house, ann)
    house.db.write_now(lambda tx: house.identity.close_session(tx, ann.id, session.session.id))
    house.db.write_now(lambda tx: house.identity.revoke_token(tx, ann.id, issued.row.id, actor="test"))
    house.db.write_now(lambda tx: house.identity.suspend(tx, ann.id, reason="x", until=None, actor="cli"))
    house.db.write_now(lambda tx: house.identity.unsuspend(tx, ann.id, actor="cli"))
    house.db.write_now(lambda tx: house.identity.set_password(tx, ann.id, NO_PASSWORD, actor="cli"))
    rows = house.db.read_now(lambda tx: house.audit.entries_of_user(tx, ann.id))
    assert [row.action for row in reversed(rows)] == [
        "user.created",
        "token.issued",
        "session.opened",
        "session.closed",
        "token.revoked",
        "user.suspended",
        "user.unsuspended",
        "user.password_set",
    ]
    assert house.db.read_now(house.audit.verify) is None


# --- sessions ---


def test_session_when_used_then_tells_who_and_with_what_rights(house: People) -> None:
    ann, olga = house.add_user("ann"), house.add_user("olga", role=Role.OPERATOR)
    assert _by_session(house, _open(house, ann)).scopes == {Scope.READ, Scope.TRADE}
    principal = _by_session(house, _open(house, olga))
    assert (principal.user_id, principal.role, principal.is_operator) == (olga.id, Role.OPERATOR, True)


def test_session_when_idle_for_an_hour_then_is_over(house: People) -> None:
    issued = _open(house, house.add_user("ann"))
    house.clock.step_wall(3_599)
    _by_session(house, issued)
    house.clock.step_wall(1)
    with pytest.raises(Unauthenticated):
        _by_session(house, issued)


def test_session_when_kept_awake_then_is_over_after_a_day(house: People) -> None:
    issued = _open(house, house.add_user("ann"))
    for _ in range(47):
        house.clock.step_wall(1_800)
        _by_session(house, issued)
        house.db.write_now(lambda tx: house.identity.touch_session(tx, issued.session.id))
    house.clock.step_wall(1_800)
    with pytest.raises(Unauthenticated):
        _by_session(house, issued)


def test_session_when_used_often_then_is_written_down_once_a_minute(house: People) -> None:
    token = _open(house, house.add_user("ann")).token.reveal_text()

    def is_due() -> bool:
        return house.db.read_now(lambda tx: house.identity.authenticate_session(tx, token))[1]

    assert not is_due()
    house.clock.step_wall(60)
    assert is_due()


def test_session_when_closed_then_is_over_and_only_its_owner_may_close_it(house: People) -> None:
    ann, bob = house.add_user("ann"), house.add_user("bob")
    issued = _open(house, ann)
    with pytest.raises(NotFound):
        house.db.write_now(lambda tx: house.identity.close_session(tx, bob.id, issued.session.id))
    _by_session(house, issued)
    house.db.write_now(lambda tx: house.identity.close_session(tx, ann.id, issued.session.id))
    with pytest.raises(Unauthenticated):
        _by_session(house, issued)


def test_session_when_the_password_is_set_then_every_one_ends(house: People) -> None:
    ann = house.add_user("ann")
    first, second = _open(house, ann), _open(house, ann)
    house.db.write_now(lambda tx: house.identity.set_password(tx, ann.id, NO_PASSWORD, actor="cli"))
    for issued in (first, second):
        with pytest.raises(Unauthenticated):
            _by_session(house, issued)


def test_session_when_somebody_opens_very_many_then_the_oldest_go(house: People) -> None:
    ann = house.add_user("ann")
    first = _open(house, ann)
    for _ in range(50):
        house.clock.step_wall(1)
        _open(house, ann)
    assert len(house.db.read_now(lambda tx: house.identity.list_sessions(tx, ann.id))) == 50
    with pytest.raises(Unauthenticated):
        _by_session(house, first)


# --- API tokens ---


def test_token_when_used_then_has_its_scopes_and_no_others(house: People) -> None:
    ann = house.add_user("ann")
    issued = _issue(house, ann)
    token = issued.token.reveal_text()
    assert token.startswith("tw_")
    assert len(token) >= 3 + 43
    principal = _by_token(house, token)
    assert (principal.user_id, principal.scopes, principal.token_id) == (ann.id, _READ, issued.row.id)


@pytest.mark.parametrize(
    "token", ["", "tw_", "tw_x", "x" * 46, "tw_" + "a" * 43, "tw_" + "a" * 10_000, "tw_é", "tw_\udcff"]
)
def test_token_when_it_is_not_ours_then_is_refused(house: People, token: str) -> None:
    with pytest.raises(Unauthenticated):
        _by_token(house, token)


def test_token_when_expired_then_is_refused(house: People) -> None:
    ann = house.add_user("ann")
    token = _issue(house, ann, days=1).token.reveal_text()
    house.clock.step_wall(86_399)
    _by_token(house, token)
    house.clock.step_wall(1)
    with pytest.raises(Unauthenticated):
        _by_token(house, token)


def test_token_when_it_has_no_end_then_works_until_revoked(house: People) -> None:
    ann = house.add_user("ann")
    issued = _issue(house, ann, days=None)
    house.clock.step_wall(86_400 * 3_650)
    _by_token(house, issued.token.reveal_text())
    house.db.write_now(lambda tx: house.identity.revoke_token(tx, ann.id, issued.row.id, actor="x"))
    with pytest.raises(Unauthenticated):
        _by_token(house, issued.token.reveal_text())


def test_token_when_another_user_revokes_it_then_there_is_none_such(house: People) -> None:
    ann, bob = house.add_user("ann"), house.add_user("bob")
    issued = _issue(house, ann)
    with pytest.raises(NotFound):
        house.db.write_now(lambda tx: house.identity.revoke_token(tx, bob.id, issued.row.id, actor="x"))
    _by_token(house, issued.token.reveal_text())


def test_token_when_the_role_does_not_have_the_scope_then_is_not_issued(house: People) -> None:
    ann, sue = house.add_user("ann"), house.add_user("sue", role=Role.SUPPORT)
    for user, scope in ((ann, Scope.ADMIN), (sue, Scope.TRADE)):
        with pytest.raises(Forbidden):
            _issue(house, user, frozenset({scope}))
    with pytest.raises(InvalidInput):
        _issue(house, ann, frozenset())
    for days in (0, 367):
        with pytest.raises(InvalidInput):
            _issue(house, ann, days=days)


def test_token_when_the_role_was_lowered_since_then_the_scope_is_gone_at_once(house: People) -> None:
    olga = house.add_user("olga", role=Role.OPERATOR)
    token = _issue(house, olga, frozenset(Scope)).token.reveal_text()
    assert _by_token(house, token).scopes == set(Scope)
    house.db.write_now(lambda tx: tx.execute(text("UPDATE users SET role = 'support'")))
    assert _by_token(house, token).scopes == _READ


def test_tokens_when_there_are_very_many_then_no_more_are_issued(house: People) -> None:
    ann = house.add_user("ann")
    for _ in range(50):
        _issue(house, ann)
    with pytest.raises(Conflict):
        _issue(house, ann)


def test_database_when_tokens_were_issued_then_holds_none_of_them(house: People, tmp_path: Path) -> None:
    ann = house.add_user("ann")
    tokens = [_issue(house, ann).token.reveal(), _open(house, ann).token.reveal()]
    house.db.close()
    content = bytes_of(tmp_path)
    assert b"ann@example.com" in content
    for token in tokens:
        assert token not in content
        assert token.removeprefix(b"tw_") not in content
