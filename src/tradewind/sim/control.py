"""The control API under /sim/v1: what only the owner of the play venue may do, and what only a referee sees.

JSON in, JSON out, loopback callers only and never from a web page (a request with an `Origin` is refused).
It costs no weight and no fault touches it. Lists are paged: `after` is the last number seen, `limit` at most
1000, `next_after` is null at the end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final, TypeVar
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from tradewind.sim import control_forms as forms
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.control_views import account_view, event_page, order_page, request_page
from tradewind.sim.describe import describe
from tradewind.sim.fault_effects import clear, put_in_force
from tradewind.sim.faults import Fault, Scope
from tradewind.sim.keys import Permissions, rights
from tradewind.sim.refusals import ExchangeRefusal
from tradewind.sim.types import AccountSettings, NewOrder

_log = logging.getLogger("tradewind.sim.control")
_encode = msgspec.json.Encoder(decimal_format="string").encode
_BODY_TIMEOUT_S: Final = 5.0
_PAGE_MAX: Final = 1000
_FIRST_UID: Final = 10_000_001

_LIMIT_NAMES: Final = (
    "weight_per_minute", "orders_per_10s", "orders_per_day", "connections_per_5_minutes", "calls_before_ban", "ban_s",
)  # fmt: skip

F = TypeVar("F", bound=forms.Form)


class ControlError(Exception):
    """A control request that cannot be carried out; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlWire:
    """Answers /sim/v1."""

    def __init__(self, spot: BinanceSpot) -> None:
        self._spot = spot
        self._verbs: dict[tuple[str, str], Callable[[_Ask], object]] = {
            ("GET", "health"): self._health,
            ("GET", "describe"): lambda _ask: describe(spot),
            ("POST", "keys"): self._issue_key,
            ("DELETE", "keys"): self._revoke_key,
            ("PATCH", "keys"): self._change_key,
            ("POST", "deposit"): self._deposit,
            ("GET", "accounts"): self._accounts,
            ("POST", "accounts"): self._configure,
            ("GET", "faults"): lambda _ask: [_fault_view(fault) for fault in spot.faults.in_force()],
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "log"): self._read_log,
            ("POST", "price"): self._price,
            ("GET", "tape"): lambda _ask: self._tape_view(),
            ("POST", "tape"): self._tape,
            ("POST", "symbols"): self._symbol_status,
            ("POST", "external-order"): self._external_order,
            ("POST", "external-cancel"): self._external_cancel,
            ("POST", "limits"): self._limits,
        }

    async def handle(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer one control request."""
        if not _is_local(request):
            return web.json_response({"error": "control is for this machine only"}, status=403)
        parts = [part for part in path.split("/") if part]
        verb = self._verbs.get((request.method, parts[0])) if parts else None
        if verb is None:
            return web.json_response({"error": f"no control call {request.method} {path}"}, status=404)
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await request.read()
            result = verb(_Ask(parts[1:], request.query_string, body))
            if isinstance(result, Awaitable):
                result = await result
        except ControlError as error:
            return web.json_response({"error": str(error)}, status=error.status)
        except ExchangeRefusal as refusal:
            return web.json_response({"error": refusal.message, "code": refusal.code}, status=409)
        except (ValueError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=422)
        except Exception:
            _log.exception("sim.control.crashed call=%s", parts[0])
            return web.json_response({"error": "the simulator failed; see its log"}, status=500)
        if isinstance(result, str):
            return web.Response(text=result)
        return web.Response(body=_encode(result), content_type="application/json")

    def _health(self, _ask: _Ask) -> Json:
        spot = self._spot
        return {
            "status": "ok",
            "server_ms": spot.now_ms(),
            "profile": spot.settings.profile.value,
            "accounts": len(spot.exchange.uids()),
            "requests": spot.requests.last_sequence,
            "tape": self._tape_view(),
        }

    def _issue_key(self, ask: _Ask) -> Json:
        spot, form = self._spot, ask.read(forms.KeyForm)
        uid = form.uid if form.uid is not None else max((*spot.exchange.uids(), _FIRST_UID - 1)) + 1
        if any(amount <= 0 for amount in form.balances.values()):
            raise ControlError(422, "balances must be positive")
        issued = spot.keys.issue(
            uid,
            form.kind,
            Permissions(**msgspec.structs.asdict(form.permissions)),
            created_ms=spot.now_ms(),
            ip_list=tuple(form.ip_list),
            expires_ms=form.expires_ms,
            public_key_pem=form.public_key,
        )
        if not spot.exchange.has_account(uid):
            spot.exchange.create_account(uid)
        for asset, amount in form.balances.items():
            spot.publish(spot.exchange.deposit(uid, asset, amount, spot.now_ms()))
        return {
            "uid": uid,
            "api_key": issued.key.api_key,
            "secret": issued.secret,
            "kind": form.kind.value,
            "permissions": rights(issued.key.permissions),
            "ip_list": list(form.ip_list),
        }

    def _revoke_key(self, ask: _Ask) -> Json:
        self._spot.keys.revoke(ask.part(0, "key"))
        return {}

    def _change_key(self, ask: _Ask) -> Json:
        form = ask.read(forms.PermissionsForm)
        changed = self._spot.keys.change(ask.part(0, "key"), Permissions(**msgspec.structs.asdict(form)))
        return {"permissions": rights(changed.permissions)}

    def _deposit(self, ask: _Ask) -> Json:
        spot, form = self._spot, ask.read(forms.DepositForm)
        now = spot.now_ms()
        if form.amount < 0:
            spot.publish(spot.exchange.withdraw(form.uid, form.asset, -form.amount, now))
        else:
            spot.publish(spot.exchange.deposit(form.uid, form.asset, form.amount, now))
        return account_view(spot, form.uid)

    def _accounts(self, ask: _Ask) -> object:
        if not ask.parts:
            return {"uids": list(self._spot.exchange.uids())}
        uid = ask.number(0, "uid")
        if not self._spot.exchange.has_account(uid):
            raise ControlError(404, f"no account {uid}")
        if ask.parts[1:] == ["orders"]:
            return order_page(self._spot, uid, ask.after(), ask.limit())
        return account_view(self._spot, uid)

    def _configure(self, ask: _Ask) -> Json:
        uid, form = ask.number(0, "uid"), ask.read(forms.AccountForm)
        settings = AccountSettings(**msgspec.structs.asdict(form))
        if self._spot.exchange.has_account(uid):
            self._spot.exchange.configure_account(uid, settings)
        else:
            self._spot.exchange.create_account(uid, settings)
        return account_view(self._spot, uid)

    def _add_fault(self, ask: _Ask) -> Json:
        form = ask.read(forms.FaultForm)
        if not 0 <= form.probability <= 1:
            raise ControlError(422, "probability must lie between 0 and 1")
        spot = self._spot
        fault = Fault(
            fault_id=spot.faults.next_id(),
            kind=form.kind,
            scope=Scope(form.uid, form.api_key, form.client_id_prefix, form.symbol, frozenset(form.calls)),
            times=form.times,
            probability=form.probability,
            value=form.value,
            executed=form.executed,
            where=form.where,
            status=form.status,
            body=form.body,
            code=form.code,
            msg=form.msg,
            stream=form.stream,
        )
        put_in_force(spot, fault)
        return _fault_view(fault)

    def _clear_faults(self, ask: _Ask) -> Json:
        fault_id = ask.number(0, "fault id") if ask.parts else None
        return {"cleared": clear(self._spot, fault_id)}

    def _read_log(self, ask: _Ask) -> Json:
        kind = ask.query("kind") or "requests"
        uid = int(ask.query("uid")) if ask.query("uid") else None
        if kind == "requests":
            return request_page(self._spot, ask.after(), ask.limit(), uid)
        if kind == "events":
            return event_page(self._spot, ask.after(), ask.limit(), uid)
        raise ControlError(422, "kind must be requests or events")

    def _price(self, ask: _Ask) -> Json:
        form = ask.read(forms.PriceForm)
        self._spot.set_price(form.symbol, form.price)
        return {"symbol": form.symbol, "price": str(self._spot.exchange.last_price(form.symbol))}

    def _tape(self, ask: _Ask) -> Json:
        form, player, now = ask.read(forms.TapeForm), self._spot.player, self._spot.tape_ms()
        match form.action:
            case forms.TapeAction.PAUSE:
                player.pause(now)
            case forms.TapeAction.RESUME:
                player.resume(now)
            case forms.TapeAction.SPEED:
                player.set_speed(_needed(form.value), now)
            case forms.TapeAction.SEEK:
                player.seek(_needed(form.value), now)
        return self._tape_view()

    def _tape_view(self) -> Json:
        player = self._spot.player
        return {
            "name": player.tape.name,
            "position_ms": player.position_ms,
            "duration_ms": player.tape.duration_ms,
            "speed": str(player.speed),
            "is_paused": player.is_paused,
            "is_finished": player.is_finished,
            "rounds": player.rounds,
        }

    def _symbol_status(self, ask: _Ask) -> Json:
        symbol, form = ask.part(0, "symbol"), ask.read(forms.StatusForm)
        self._spot.exchange.set_symbol_status(symbol, form.status)
        return {"symbol": symbol, "status": form.status.value}

    def _external_order(self, ask: _Ask) -> Json:
        form = ask.read(forms.ExternalOrderForm)
        fields = msgspec.structs.asdict(form)
        uid = fields.pop("uid")
        placed = self._spot.exchange.place(uid, NewOrder(**fields), self._spot.now_ms())
        self._spot.publish(placed.events)
        return {"order_id": placed.order.order_id, "status": placed.order.status.value}

    def _external_cancel(self, ask: _Ask) -> Json:
        form, spot = ask.read(forms.ExternalCancelForm), self._spot
        cancelled = spot.exchange.cancel(form.uid, form.symbol, spot.now_ms(), order_id=form.order_id)
        spot.publish(cancelled.events)
        return {"order_ids": [order.order_id for order in cancelled.orders]}

    def _limits(self, ask: _Ask) -> Json:
        form, limits = ask.read(forms.LimitsForm), self._spot.limits
        for name in _LIMIT_NAMES:
            value = getattr(form, name)
            if value is not None:
                setattr(limits, name, value)
        if form.lift_bans:
            self._spot.weight.lift_bans()
        if form.used_weight is not None:
            self._spot.weight.set_used(self._spot.settings.host, form.used_weight, self._spot.now_ms())
        return {"limits": limits.as_exchange_info()}


class _Ask:
    """One control request, read on demand."""

    def __init__(self, parts: list[str], query: str, body: bytes) -> None:
        self.parts = parts
        self._query = parse_qs(query)
        self._body = body

    def read(self, kind: type[F]) -> F:
        """Read the body as a form."""
        return msgspec.json.decode(self._body or b"{}", type=kind, strict=False)

    def part(self, index: int, name: str) -> str:
        """Give one part of the path."""
        if index >= len(self.parts):
            raise ControlError(404, f"the path lacks a {name}")
        return self.parts[index]

    def number(self, index: int, name: str) -> int:
        """Give one part of the path as a number."""
        text = self.part(index, name)
        if not text.isdecimal():
            raise ControlError(404, f"{name} must be a number")
        return int(text)

    def query(self, name: str) -> str:
        """Give one query parameter, empty when absent."""
        return self._query.get(name, [""])[0]

    def after(self) -> int:
        """Give the number after which the page begins."""
        return int(self.query("after") or 0)

    def limit(self) -> int:
        """Give the page's length, at most 1000."""
        return min(int(self.query("limit") or _PAGE_MAX), _PAGE_MAX)


def _needed(value: object) -> Decimal:
    if not isinstance(value, Decimal):
        raise ControlError(422, "this action needs a value")
    return value


def _is_local(request: web.BaseRequest) -> bool:
    """Tell whether a caller sits on this machine and is no web page."""
    if "Origin" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _fault_view(fault: Fault) -> Json:
    scope = fault.scope
    return {
        "fault_id": fault.fault_id,
        "kind": fault.kind.value,
        "uid": scope.uid,
        "client_id_prefix": scope.client_id_prefix,
        "symbol": scope.symbol,
        "calls": sorted(scope.calls),
        "times": fault.times,
        "probability": fault.probability,
        "value": fault.value,
    }
