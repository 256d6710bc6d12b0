"""`tradewind users`: people, their plans, suspensions and API tokens. Every act is in the audit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

import typer

from tradewind.cli.rooms import ACTOR, Rooms, opened_rooms
from tradewind.cli.tables import print_table
from tradewind.core.errors import InvalidInput
from tradewind.core.plan import PlanName
from tradewind.identity.passwords import Passwords
from tradewind.identity.people import User
from tradewind.identity.service import NewUser, normal_email
from tradewind.infra.db import Tx
from tradewind.vault.secret import Secret
from tradewind.web.principal import Role, Scope

app = typer.Typer(help="People: add, list, plan, suspend, API tokens.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The person's e-mail address.")]


@app.command()
def add(
    context: typer.Context,
    email: Email,
    name: Annotated[str, typer.Option(help="Name to show.")] = "",
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.USER,
    language: Annotated[str, typer.Option(help="en or ko.")] = "en",
    plan: Annotated[PlanName, typer.Option(help="The plan to start with.")] = PlanName.TRIAL,
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
) -> None:
    """Add a person; the password is asked for, never an argument."""
    with opened_rooms(context) as rooms:
        # Before a password is asked for: nobody types one twice for an address that is none.
        normal_email(email)
        password = _ask_password(password_stdin)
        hashed = asyncio.run(Passwords().hash(password, email, name))
        new = NewUser(email, name or email.partition("@")[0], hashed, role, language)

        def work(tx: Tx) -> User:
            user = rooms.identity.create_user(tx, new, actor=ACTOR)
            rooms.subscribe(tx, user, plan)
            return user

        user = rooms.db.write_now(work)
    typer.echo(f"Added {user.email} ({user.role}, {plan}), id {user.id}")


@app.command("list")
def list_users(context: typer.Context) -> None:
    """List people in the order they were added."""
    with opened_rooms(context) as rooms:
        now = rooms.clock.now()
        users, plans = rooms.db.read_now(lambda tx: _all_users(tx, rooms))
    print_table(
        ["e-mail", "name", "role", "plan", "standing", "id"],
        [
            [user.email, user.name, user.role, plans.get(user.id, "none"), _standing(user, now), user.id]
            for user in users
        ],
    )
    typer.echo(f"{len(users)} users")


def _all_users(tx: Tx, rooms: Rooms) -> tuple[list[User], Mapping[str, str]]:
    users: list[User] = []
    while True:
        page = rooms.identity.list_users(tx, after_id=users[-1].id if users else None, limit=1_000)
        if not page:
            return users, rooms.plan_names(tx, users)
        users += page


def _standing(user: User, now: datetime) -> str:
    if not user.is_suspended(now):
        return "active"
    until = f" until {user.suspended_until:%Y-%m-%d}" if user.suspended_until else ""
    return f"suspended{until}: {user.suspended_reason}"


@app.command()
def plan(
    context: typer.Context,
    email: Email,
    name: Annotated[PlanName, typer.Argument(help="The plan from now on.")],
) -> None:
    """Put a person on a plan."""
    with opened_rooms(context) as rooms:
        rooms.db.write_now(lambda tx: rooms.subscribe(tx, rooms.load_user(tx, email), name))
    typer.echo(f"{email} is on {name}")


@app.command()
def suspend(
    context: typer.Context,
    email: Email,
    reason: Annotated[str, typer.Option(help="The person reads it.")],
    until: Annotated[str | None, typer.Option(help="First day on which entries go again, YYYY-MM-DD (UTC).")] = None,
) -> None:
    """Stop a person's entries at once; exits and stops go on."""
    with opened_rooms(context) as rooms:
        end = None if until is None else _day(until)
        rooms.db.write_now(
            lambda tx: rooms.identity.suspend(tx, rooms.load_user(tx, email).id, reason=reason, until=end, actor=ACTOR)
        )
    typer.echo(f"{email} is suspended{'' if until is None else f' until {until}'}; exits and stops go on")


@app.command()
def unsuspend(context: typer.Context, email: Email) -> None:
    """Lift a suspension."""
    with opened_rooms(context) as rooms:
        rooms.db.write_now(lambda tx: rooms.identity.unsuspend(tx, rooms.load_user(tx, email).id, actor=ACTOR))
    typer.echo(f"{email} is active")


@app.command()
def token(
    context: typer.Context,
    email: Email,
    label: Annotated[str, typer.Option(help="What the token is for.")] = "command line",
    scope: Annotated[list[Scope] | None, typer.Option(help="read, trade or admin; repeat for several.")] = None,
    days: Annotated[int, typer.Option(help="Days it is valid.", min=1, max=366)] = 90,
) -> None:
    """Issue an API token; it is shown once, on standard output."""
    with opened_rooms(context) as rooms:
        issued = rooms.db.write_now(
            lambda tx: rooms.identity.issue_token(
                tx,
                rooms.load_user(tx, email).id,
                label=label,
                scopes=frozenset(scope or [Scope.READ]),
                actor=ACTOR,
                life=timedelta(days=days),
            )
        )
    typer.echo(f"Token for {email}, {days} days. It is not shown again:", err=True)
    typer.echo(issued.token.reveal_text())


def _ask_password(from_stdin: bool) -> Secret:
    if from_stdin:
        return Secret(sys.stdin.readline().rstrip("\r\n"))
    if not sys.stdin.isatty():
        raise InvalidInput("password_missing", "Nobody is there to type a password. Use --password-stdin.")
    return Secret(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day; its zone is given in the next line
    except ValueError:
        raise InvalidInput("day_malformed", "Write the day as YYYY-MM-DD.") from None
    return datetime.combine(day, time(), UTC)
