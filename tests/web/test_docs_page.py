"""The page about the API: everything in it, nothing run, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from tests.support.linked import accommodation
from tests.support.people import browser

from tradewind.web.docs_page import install_docs, render_docs

_EVIL = '<script>alert("1")</script><img src=x onerror=go()>'


class _Part(BaseModel):
    """A part that may hold parts."""

    size: Annotated[int, Field(ge=1, le=9)]
    parts: list[_Part] = []


class _Body(BaseModel):
    name: Annotated[str, Field(description=_EVIL, pattern="^[<>]+$")] = _EVIL
    part: _Part | None = None


def _app() -> FastAPI:
    app = FastAPI(docs_url=None)
    install_docs(app)

    @app.post("/things/{thing_id}", tags=[_EVIL], summary=_EVIL, status_code=201)
    async def make(thing_id: int, body: _Body, far: Annotated[str, Query(description=_EVIL)] = _EVIL) -> None:
        """Make <b>a thing</b>.

        With more about it & how.
        """
        raise NotImplementedError

    return app


async def _page(app: FastAPI) -> Any:
    async with browser(app) as client:
        return await client.get("/docs")


async def test_page_when_shown_lists_every_operation_of_a_real_room(tmp_path: Path) -> None:
    with accommodation(tmp_path) as rooms:
        app = rooms.app()
    document = app.openapi()
    page = render_docs(document)
    operations = [(method, path) for path, item in document["paths"].items() for method in item]
    assert len(operations) > 15
    for method, path in operations:
        assert f'<span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code>' in page
    for name in set(document["components"]["schemas"]) - {"ValidationError", "HTTPValidationError"}:
        assert f'id="shape-{name}"' in page
    targets = re.findall(r'href="#([^"]+)"', page)
    assert [target for target in targets if f'id="{target}"' not in page] == []


async def test_page_when_shown_runs_nothing_and_loads_nothing() -> None:
    answer = await _page(_app())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script" not in answer.text
    assert "HTTPValidationError" not in answer.text
    assert "application/problem+json" in answer.text
    assert re.findall(r"https?:|//|src=|@import|url\(", answer.text.replace(escape(_EVIL), "")) == []
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


async def test_page_when_shown_has_exactly_the_style_its_policy_allows() -> None:
    answer = await _page(_app())
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "style=" not in answer.text
    assert "prefers-color-scheme: dark" in style


async def test_page_when_texts_hold_markup_then_shows_them_as_text() -> None:
    page = (await _page(_app())).text
    assert _EVIL not in page
    assert "<img" not in page
    assert page.count(escape(_EVIL)) >= 4
    assert "Make &lt;b&gt;a thing&lt;/b&gt;." in page
    assert "With more about it &amp; how." in page


@pytest.mark.parametrize(
    "text", ["required", "at least <code>1</code>", "at most <code>9</code>", "form <code>^[&lt;&gt;]+$</code>"]
)
async def test_page_when_a_field_has_limits_then_names_them(text: str) -> None:
    assert text in (await _page(_app())).text


async def test_page_when_a_shape_holds_itself_then_links_to_it() -> None:
    page = (await _page(_app())).text
    assert 'list of <a href="#shape-_Part">_Part</a>' in page
    assert '<a href="#shape-_Part">_Part</a> or null' in page


async def test_page_when_shown_links_to_the_document_and_is_not_part_of_it() -> None:
    app = _app()
    assert 'href="/openapi.json"' in (await _page(app)).text
    assert "/docs" not in app.openapi()["paths"]
