"""The page at /docs: the API's own description as plain HTML, without any script and without any other host.

Whoever reads this page may be signed in here, so it loads nothing from anywhere: a viewer from elsewhere
could act as the reader. Everything shown comes out of the OpenAPI document, and every text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from tradewind.web.docs_style import STYLE

# A part of the OpenAPI document: JSON, as the framework wrote it.
Json = Mapping[str, Any]

# The framework declares its own shape for refused bodies; they are answered as problem documents instead.
_FRAMEWORKS_ERROR = "ValidationError"
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_SCHEMAS = "#/components/schemas/"
# The style is allowed by its hash, so that no other inline style gets in.
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install_docs(app: FastAPI) -> None:
    """Serve the page at /docs; the document is read at the first request, when all routes are there."""
    pages: list[str] = []

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Show every operation of this API."""
        if not pages:
            pages.append(render_docs(app.openapi()))
        return HTMLResponse(pages[0], headers={"Content-Security-Policy": POLICY})


def render_docs(document: Json) -> str:
    """Write the page of an OpenAPI document."""
    info = document["info"]
    schemas: Json = document.get("components", {}).get("schemas", {})
    groups = _by_tag(document)
    links = "".join(f'<a href="#tag-{escape(tag)}">{escape(tag)}</a>' for tag in groups)
    sections = "".join(_section(tag, operations, schemas) for tag, operations in groups.items())
    shapes = "".join(_shape(name, schemas[name]) for name in sorted(schemas) if not name.endswith(_FRAMEWORKS_ERROR))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info.get('description', ''))}</p>"
        "<p>Send an API token with every request: <code>Authorization: Bearer tw_...</code>. "
        "<code>tradewind users token</code> issues the first one. Whatever is refused is answered as "
        "<code>application/problem+json</code> (RFC 9457): <code>status</code>, <code>code</code> for programs, "
        "<code>detail</code> for people, <code>fields</code> with what is wrong in each. "
        'The same description for programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f'<nav aria-label="Groups">{links}<a href="#shapes">shapes</a></nav>'
        f'<main>{sections}<h2 id="shapes">Shapes</h2>{shapes}</main></body></html>'
    )


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    groups: dict[str, list[tuple[str, str, Json]]] = {}
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append((method, path, item[method]))
    return dict(sorted(groups.items()))


def _section(tag: str, operations: list[tuple[str, str, Json]], schemas: Json) -> str:
    shown = "".join(_operation(*operation, schemas) for operation in operations)
    return f'<section><h2 id="tag-{escape(tag)}">{escape(tag)}</h2>{shown}</section>'


def _operation(method: str, path: str, operation: Json, schemas: Json) -> str:
    text = operation.get("description") or operation.get("summary", "")
    summary = text.split("\n", 1)[0]
    rest = text[len(summary) :].strip()
    parts = [f"<p>{escape(rest)}</p>"] if rest else []
    parts += [_parameters(operation.get("parameters", []))]
    parts += [_content("Body", operation.get("requestBody", {}), schemas)]
    answers: Json = operation.get("responses", {})
    for status, answer in answers.items():
        if _FRAMEWORKS_ERROR in str(answer):
            continue
        parts.append(_content(f"Answer {status}", answer, schemas))
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code> '
        f'<span class="quiet">{escape(summary)}</span></summary>{"".join(parts)}</details>'
    )


def _parameters(parameters: list[Json]) -> str:
    rows = [
        _row(f"{escape(each['name'])} <span class='quiet'>{escape(each['in'])}</span>", each.get("schema", {}), each)
        for each in parameters
    ]
    return _table("parameter", rows)


def _content(title: str, holder: Json, schemas: Json) -> str:
    """Show a body or an answer; what has no content has one line."""
    contents: Json = holder.get("content", {})
    if not contents:
        text = escape(str(holder.get("description", "")))
        return f"<p><b>{title}</b> <span class='quiet'>{text}</span></p>" if holder else ""
    schema: Json = next(iter(contents.values())).get("schema", {})
    fields = _fields(schemas.get(_name_of(schema), schema))
    head = f"<b>{title}</b> {_type(schema)}"
    return f"<details><summary>{head}</summary>{fields}</details>" if fields else f"<p>{head}</p>"


def _shape(name: str, schema: Json) -> str:
    text = schema.get("description", "")
    body = _fields(schema) or f"<p>{_type(schema)}</p>"
    return (
        f'<details id="shape-{escape(name)}"><summary><code>{_shown(name)}</code> '
        f'<span class="quiet">{escape(text)}</span></summary>{body}</details>'
    )


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        _row(escape(name), field, {**field, "required": name in required})
        for name, field in schema.get("properties", {}).items()
    ]
    return _table("field", rows)


def _table(first: str, rows: list[str]) -> str:
    if not rows:
        return ""
    head = f"<tr><th>{first}</th><th>type</th><th></th></tr>"
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(name: str, schema: Json, about: Json) -> str:
    notes = "; ".join(_notes(schema, about))
    return f"<tr><td><code>{name}</code></td><td>{_type(schema)}</td><td>{notes}</td></tr>"


def _notes(schema: Json, about: Json) -> Iterator[str]:
    if about.get("required"):
        yield "required"
    if about.get("description"):
        yield escape(str(about["description"]))
    if schema.get("default") is not None:
        yield f"default <code>{_value(schema['default'])}</code>"
    for part in (schema, *schema.get("anyOf", ())):
        for key, word in _LIMITS.items():
            if key in part:
                yield f"{word} <code>{_value(part[key])}</code>"
        if part.get("examples"):
            yield f"such as <code>{_value(part['examples'][0])}</code>"


_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "minItems": "items at least",
    "maxItems": "items at most",
    "pattern": "form",
}


def _shown(name: str) -> str:
    """Cut what the framework put before a name that two rooms use."""
    return escape(name.rsplit("__", 1)[-1])


def _value(value: object) -> str:
    """Write a value as it stands in JSON; the document has bounds of whole numbers as 9.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return escape(value if isinstance(value, str) else json.dumps(value))


def _name_of(schema: Json) -> str:
    return str(schema.get("$ref", "")).removeprefix(_SCHEMAS)


def _type(schema: Json) -> str:
    """Write a schema's type; a named shape is a link to it, so that shapes may hold each other."""
    name = _name_of(schema)
    if name:
        return f'<a href="#shape-{escape(name)}">{_shown(name)}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_type(part) for part in schema[key])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{_value(value)}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    kind = escape(str(schema.get("type", "any")))
    return f"{kind} ({escape(str(schema['format']))})" if "format" in schema else kind
