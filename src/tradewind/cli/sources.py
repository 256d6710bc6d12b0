"""`tradewind sources`: who may send signals. The webhook address is the secret; it is shown once."""

from __future__ import annotations

from typing import Annotated

import typer

from tradewind.cli.rooms import ACTOR, Rooms, opened_rooms
from tradewind.cli.tables import print_table
from tradewind.core.errors import Conflict, NotFound
from tradewind.core.ids import SourceId, UserId
from tradewind.infra.db import Tx
from tradewind.signals.sources import Sources, SourceWithToken

app = typer.Typer(help="Who may send signals, and their webhook addresses.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The source's name.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    owner: Annotated[str, typer.Option(help="E-mail address of the person it belongs to.")],
    exchange_bound: Annotated[
        bool, typer.Option(help="A signal that names an exchange reaches accounts of that exchange only.")
    ] = False,
) -> None:
    """Add a source; its webhook address is shown once, on standard output."""
    with opened_rooms(context) as rooms:

        def work(tx: Tx) -> SourceWithToken:
            return _sources(rooms).create(
                tx,
                owner_id=rooms.load_user(tx, owner).id,
                name=name,
                actor=ACTOR,
                now=rooms.clock.now(),
                is_exchange_bound=exchange_bound,
            )

        _show_address(rooms, rooms.db.write_now(work))


@app.command("list")
def list_sources(context: typer.Context) -> None:
    """List all sources; addresses are not kept and cannot be shown again."""
    with opened_rooms(context) as rooms:

        def work(tx: Tx) -> list[list[str]]:
            sources = _sources(rooms).list_all(tx)
            owners = rooms.identity.load_users(tx, [UserId(source.owner_id) for source in sources])
            return [
                [
                    source.name,
                    "on" if source.is_enabled else "off",
                    owners[UserId(source.owner_id)].email,
                    f"{source.created_at:%Y-%m-%d}",
                    source.id,
                ]
                for source in sources
            ]

        rows = rooms.db.read_now(work)
    print_table(["name", "state", "owner", "since", "id"], rows)


@app.command()
def rotate(context: typer.Context, name: Name) -> None:
    """Give a source a new webhook address; the old one stops working at once."""
    with opened_rooms(context) as rooms:
        _show_address(
            rooms,
            rooms.db.write_now(
                lambda tx: _sources(rooms).rotate(tx, _load_id(tx, rooms, name), actor=ACTOR, now=rooms.clock.now())
            ),
        )


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a source send again."""
    _switch(context, name, is_enabled=True)


@app.command()
def disable(context: typer.Context, name: Name) -> None:
    """Refuse what a source sends; nothing of it is stored."""
    _switch(context, name, is_enabled=False)


def _switch(context: typer.Context, name: str, *, is_enabled: bool) -> None:
    with opened_rooms(context) as rooms:
        rooms.db.write_now(
            lambda tx: _sources(rooms).change(tx, _load_id(tx, rooms, name), actor=ACTOR, is_enabled=is_enabled)
        )
    typer.echo(f"{name} is {'on' if is_enabled else 'off'}")


def _sources(rooms: Rooms) -> Sources:
    return Sources(rooms.ids, rooms.audit)


def _load_id(tx: Tx, rooms: Rooms, name: str) -> SourceId:
    """Find a source by its name or id. Raises NotFound, or Conflict where two owners use the name."""
    found = [source.id for source in _sources(rooms).list_all(tx) if name in (source.name, source.id)]
    if not found:
        raise NotFound("source_not_found", f"There is no source {name!r}. `tradewind sources list` shows them.")
    if len(found) > 1:
        raise Conflict("source_name_shared", f"Several sources are named {name!r}: give the id instead.")
    return found[0]


def _show_address(rooms: Rooms, made: SourceWithToken) -> None:
    settings = rooms.settings
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    typer.echo(f"The webhook address of {made.source.name}; it is not shown again:", err=True)
    typer.echo(f"{base.rstrip('/')}/webhooks/{made.token}")
