"""Fault points: silent without a driver, all of them in use, none installed by the product itself."""

from __future__ import annotations

import re
from pathlib import Path

from tradewind.infra import points
from tradewind.infra.points import Point, reached

SOURCES = Path(points.__file__).parents[1]
_USED = re.compile(r"\breached\(Point\.([A-Z_]+)\)")


def _files() -> list[Path]:
    return [path for path in SOURCES.rglob("*.py") if path != Path(points.__file__)]


def test_reached_without_driver_does_nothing() -> None:
    reached(Point.INBOX_WRITTEN)


def test_reached_with_driver_tells_it_each_point() -> None:
    seen: list[Point] = []
    points.driver = seen.append
    try:
        for point in Point:
            reached(point)
    finally:
        points.driver = None
    reached(Point.INBOX_WRITTEN)
    assert seen == list(Point)


def test_every_point_when_the_source_is_read_then_it_stands_somewhere() -> None:
    used = {name for path in _files() for name in _USED.findall(path.read_text("utf-8"))}
    assert used == {point.name for point in Point}


def test_the_product_when_the_source_is_read_then_puts_no_driver_in_place() -> None:
    setting = [path.name for path in _files() if re.search(r"points\.driver|import driver", path.read_text("utf-8"))]
    assert setting == []
