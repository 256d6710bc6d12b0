"""Odd values at every door of the OpenAPI document: refused in words, never an error of ours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.people import browser
from tests.support.platform import World, world

from tradewind.app import App
from tradewind.web.pagination import encode_cursor
from tradewind.web.ratelimit import USER_RATE, Limiter

_TEXTS = ["", "\x00", "a\x00b", "x" * 300, "é\U0001f600\u202e", "' OR 1=1 --", "null", "true", "NaN", "-1", "0"]
_NUMBERS = ["1_0", "1e400", "-0.0", "9" * 40, str(2**63), str(-(2**63) - 1)]
_TIMES = [
    *("2026-11-20", "2026-11-20T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "2026-11-20T00:00:00+23:59"),
    *("99999999999", "253402300800", "-62135596801"),
]
_CURSORS = [encode_cursor("abc"), encode_cursor("1_0"), encode_cursor(1, 2), encode_cursor(-1), "W10", "e30", "////"]
# Numbers that no integer of ours holds; a JSON encoder of ours would refuse to write some of them.
_RAW_CURSORS = ["WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMF0", "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd", "W3RydWVd", "W251bGxd"]
_ODD_TEXTS = [*_TEXTS, *_NUMBERS, *_TIMES, *_CURSORS, *_RAW_CURSORS]
# As JSON text: Python's own encoder writes lone surrogates and out-of-range numbers, senders do so too.
_ODD_JSON = [
    *('null', '"\\ud800"', '"\\u0000"', '""', '1e400', '-1', '0', str(10**30), 'NaN', 'true', '[]', '[null]', '{}'),
    *('"' + "x" * 300 + '"', '"1e99"', '"-0"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
]  # fmt: skip


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _filled(path: str, name: str = "", value: str = "x") -> str:
    """Write an address with a value in one place, and an id of nothing in all others."""
    for part in [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]:
        path = path.replace("{" + part + "}", quote(value, safe="") if part == name else "binance")
    return path


def _parameter_requests(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    for method, path, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            for value in _ODD_TEXTS:
                if parameter["in"] == "path" and value:
                    yield method, _filled(path, parameter["name"], value), {}
                elif parameter["in"] == "query":
                    yield method, _filled(path), {parameter["name"]: value}


def _sample(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """A value that fits a schema, near enough to come past the first check."""
    if "$ref" in schema:
        return _sample(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document)
    if "anyOf" in schema:
        return _sample(schema["anyOf"][0], document)
    if "properties" in schema:
        wanted = schema.get("required", [])
        return {name: _sample(schema["properties"][name], document) for name in wanted}
    if "enum" in schema or "examples" in schema:
        return next(iter(schema.get("enum") or schema["examples"]))
    kinds = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return kinds.get(schema.get("type", "string"), "25")


def _body_requests(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for method, path, operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        schema = content["application/json"]["schema"]
        shape = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        for odd in _ODD_JSON:
            yield method, _filled(path), odd
            for name in shape["properties"]:
                others = {key: value for key, value in _sample(shape, document).items() if key != name}
                # The odd value is put in as text, since not all of it can be encoded.
                text = json.dumps({**others, name: "@odd@"}).replace('"@odd@"', odd)
                yield method, _filled(path), text


async def _answers(place: World, requests: Callable[[Mapping[str, Any]], Iterator[Any]]) -> Counter[int]:
    """Send every request as the operator, who may open every door; count the answers by status."""
    place.people([])
    await place.start_platform()
    assert place.app is not None
    async with browser(place.app.asgi, place.operator.token) as client:
        return await _sent(client, place.app, requests(place.app.asgi.openapi()))


async def _sent(client: httpx.AsyncClient, app: App, requests: Iterator[Any]) -> Counter[int]:
    counts: Counter[int] = Counter()
    broken = []
    for number, (method, path, what) in enumerate(requests):
        if number % (USER_RATE.count - 1) == 0:
            # As if an hour had passed.
            app.asgi.state.limiter = Limiter(app.clock)
        how: dict[str, Any] = {"params": what} if isinstance(what, dict) else {"content": what.encode()}
        headers = {"Idempotency-Key": f"odd-{number}", "Content-Type": "application/json"}
        answer = await client.request(method, path, headers=headers, **how)
        counts[answer.status_code] += 1
        # 501 is a word of ours: promised, not built yet.
        if answer.status_code >= 500 and answer.status_code != 501:
            broken.append(f"{answer.status_code} {method} {path} {what!r:.120} {answer.text:.200}")
    assert broken == []
    return counts


async def test_parameters_when_odd_then_no_door_answers_with_an_error_of_ours(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        counts = await _answers(place, _parameter_requests)
        assert counts[422] > 100, counts
        assert counts[404] > 100, counts


async def test_bodies_when_odd_then_no_door_answers_with_an_error_of_ours(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        counts = await _answers(place, _body_requests)
        assert counts[422] > 300, counts
