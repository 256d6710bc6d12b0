"""Carrying out the faults that act on the whole venue rather than on one request."""

from __future__ import annotations

from tradewind.sim.binance_sockets import Socket
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.faults import Fault, FaultKind
from tradewind.sim.types import SymbolStatus


def put_in_force(spot: BinanceSpot, fault: Fault) -> None:
    """Begin a fault. Raises ValueError when it lacks what its kind needs."""
    match fault.kind:
        case FaultKind.STREAM_DROP | FaultKind.SERVER_SHUTDOWN:
            _end_sockets(spot, fault)
            return  # it acts once, there is nothing to keep
        case FaultKind.CLOCK_OFFSET_MS:
            spot.clock_offset_ms = int(_value(fault))
        case FaultKind.BAN_S:
            spot.weight.ban(spot.settings.host, int(_value(fault)), spot.now_ms())
        case FaultKind.WEIGHT_LIMIT:
            spot.limits.weight_per_minute = int(_value(fault))
        case FaultKind.HALT:
            spot.exchange.set_symbol_status(_symbol(fault), SymbolStatus.HALT)
        case FaultKind.STREAM_MUTE if fault.stream in {"market", "all"}:
            spot.streams.is_muted = True
        case _:
            pass
    spot.faults.add(fault)


def clear(spot: BinanceSpot, fault_id: int | None = None) -> int:
    """End one fault or all and undo what they did; gives their number."""
    gone = spot.faults.clear(fault_id)
    for fault in gone:
        _undo(spot, fault)
    return len(gone)


def _end_sockets(spot: BinanceSpot, fault: Fault) -> None:
    """End the user's sockets, the market sockets or all: cut like a failing network, or announced."""
    sockets: set[Socket] = set()
    if fault.stream in {"user", "all"}:
        sockets |= spot.users.sockets(fault.scope.uid)
    if fault.stream in {"market", "all"}:
        sockets |= spot.market_sockets
    if fault.stream == "all":
        sockets |= spot.api_sockets
    for socket in sockets:
        if fault.kind is FaultKind.SERVER_SHUTDOWN:
            socket.leave()
        else:
            socket.abort()


def _undo(spot: BinanceSpot, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.CLOCK_OFFSET_MS:
            spot.clock_offset_ms = 0
        case FaultKind.BAN_S:
            spot.weight.lift_bans()
        case FaultKind.WEIGHT_LIMIT:
            spot.limits.weight_per_minute = spot.settings.weight_per_minute
        case FaultKind.HALT:
            spot.exchange.set_symbol_status(_symbol(fault), SymbolStatus.TRADING)
        case FaultKind.STREAM_MUTE:
            spot.streams.is_muted = False
        case _:
            pass


def _value(fault: Fault) -> float:
    if fault.value is None:
        raise ValueError(f"fault {fault.kind.value} needs a value")
    return fault.value


def _symbol(fault: Fault) -> str:
    if fault.scope.symbol is None:
        raise ValueError(f"fault {fault.kind.value} needs a symbol")
    return fault.scope.symbol
