"""`tradewind sim`: the simulated exchange alone, as one process."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli.start import make_folder, settings_of
from tradewind.core.errors import InvalidInput, Unavailable
from tradewind.infra import log
from tradewind.sim.binance_spot import open_spot
from tradewind.sim.describe import describe as describe_simulator
from tradewind.sim.exchange_store import StoreBusy
from tradewind.sim.server import run_forever, wall_ms
from tradewind.sim.settings import SimSettings
from tradewind.sim.tape import TapeError


def sim(
    context: typer.Context,
    tape: Annotated[str | None, typer.Option(help="Packaged tape by name, or a candle file.")] = None,
    speed: Annotated[Decimal | None, typer.Option(help="Tape seconds per real second.", parser=Decimal)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = None,
    store: Annotated[Path | None, typer.Option(help="File that keeps accounts and orders.")] = None,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Keep nothing.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Say what is recorded and what is modelled.")] = False,
) -> None:
    """Serve an exchange that answers like Binance, on real recorded prices."""
    settings = settings_of(context)
    log.configure(level=settings.log.level, as_json=settings.log.json)
    chosen = SimSettings(
        host=settings.sim.host,
        port=settings.sim.port if port is None else port,
        store=None if in_memory else (store or settings.sim_database),
        tape=tape or settings.sim.tape,
        speed=settings.sim.speed if speed is None else speed,
        seed=settings.sim.seed if seed is None else seed,
        loop_tape=settings.sim.loop,
    )
    try:
        if describe:
            typer.echo(_describe(chosen))
        else:
            _make_folder_of(chosen)
            run_forever(chosen, announce=True)
    except (TapeError, StoreBusy) as error:
        raise InvalidInput("simulator", str(error)) from None
    except OSError as error:
        raise Unavailable("simulator_port", f"The simulator cannot listen on port {chosen.port}: {error}.") from None


def _make_folder_of(settings: SimSettings) -> None:
    if settings.store is not None:
        make_folder(settings.store.parent)


def _describe(settings: SimSettings) -> str:
    # What is kept on disk is not looked at: the text is about the model.
    spot = open_spot(replace(settings, store=None), wall_ms)
    try:
        return describe_simulator(spot)
    finally:
        spot.close()
