"""The page /docs: the OpenAPI document as HTML, without scripts and without other servers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from clew.api.reference import operations

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
STYLE = """
:root { color-scheme: light dark; font: 14px/21px system-ui, sans-serif; }
body { margin: 0 auto; padding: 16px; max-width: 1000px; }
h2 { margin-top: 40px; border-top: 1px solid; padding-top: 8px; }
h3 { margin-top: 28px; font: 600 14px/21px ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: 3px 8px; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; white-space: nowrap; }
"""


def add_docs(app: FastAPI) -> None:
    """Serve the page and its style sheet."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse("\n".join(_page(app.openapi())), headers=HEADERS)

    @app.get("/docs/style.css", include_in_schema=False)
    def style() -> Response:
        return Response(STYLE, media_type="text/css")


def _page(document: dict[str, Any]) -> Iterator[str]:
    yield "<!doctype html><html lang=en><meta charset=utf-8><title>clew: API</title>"
    yield '<meta name=viewport content="width=device-width">'
    yield "<link rel=stylesheet href=/docs/style.css>"
    yield f"<h1>The API of clew {escape(document['info']['version'])}</h1>"
    yield f"<p>{escape(document['info']['description'])}"
    yield " Its OpenAPI document: <a href=/openapi.json>/openapi.json</a>."
    for tag in document["tags"]:
        yield f"<h2 id={escape(tag['name'])}>{escape(tag['name'])}</h2>"
        yield f"<p>{escape(tag['description'])}"
        for name, operation in operations(document):
            if tag["name"] in operation["tags"]:
                yield from _operation(name, operation)
    yield "<h2>Objects</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_text(schema)}'
        members = schema.get("properties", {}).items()
        yield from _table((member, _type(schema), _text(schema)) for member, schema in members)


def _operation(name: str, operation: dict[str, Any]) -> Iterator[str]:
    method, _, path = name.partition(" ")
    is_link = method == "GET" and "{" not in path
    shown = f'GET <a href="{escape(path)}">{escape(path)}</a>' if is_link else escape(name)
    yield f"<h3>{shown}</h3><p>{_text(operation)}"
    yield from _table(
        (parameter["name"], _type(parameter["schema"]), _text(parameter))
        for parameter in operation.get("parameters", ())
    )
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            if status < "400" and content.get("schema"):
                yield f"<p>{status}: {_type(content['schema'])} as {escape(kind)}"


def _table(rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    lines = [f"<tr><td>{escape(name)}<td>{kind}<td>{text}" for name, kind, text in rows]
    if lines:
        yield f"<table>{''.join(lines)}</table>"


def _text(element: dict[str, Any]) -> str:
    return escape(str(element.get("description", "")))


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices)
    if "enum" in schema:
        return ", ".join(escape(str(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("type", schema.get("const", "any"))))
