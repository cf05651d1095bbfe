"""Writes docs/api.md from the OpenAPI document; with --openapi prints the document instead.

python docs/write_api.py [--openapi]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from clew.api import create_app
from clew.api.reference import operations

PAGE = Path(__file__).with_name("api.md")
HEAD = """# The API

{description}
All paths are below the API's address (`http://127.0.0.1:4319` by default), where clew also serves
the OpenAPI document (`/openapi.json`) and a page to try requests out (`/docs`). This page is
generated from the document by `docs/write_api.py`.

Times are RFC 3339 in UTC with nanoseconds, durations are milliseconds, ids are lowercase hex. Lists
come in pages: send `next_cursor` as `cursor` to get the next page.

Times of requests are RFC 3339 (`2026-11-22T10:00:00Z`; without a zone they are UTC, and a space may
stand for the `T`), relative to now (`-15m`, `now`), or epoch seconds, milliseconds, microseconds or
nanoseconds, told apart by their size. A parameter that a path does not have is a problem (400);
only the common ones (`environment`, `start`, `end`, `limit`, `cursor`, `explain`) may be sent to
every read.
"""
PROBLEMS = """## Problems

Every error is an RFC 9457 problem document (`application/problem+json`).

| status | when |
|-|-|"""


def main() -> None:
    if "--openapi" in sys.argv[1:]:
        print(json.dumps(openapi()))
    else:
        PAGE.write_text(page(), encoding="utf-8")


def openapi() -> dict[str, Any]:
    return create_app(cast(Any, None), lambda: True, registry=cast(Any, object())).openapi()


def page() -> str:
    document = openapi()
    return "\n".join(_lines(document)) + "\n"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield HEAD.format(description=document["info"]["description"])
    for tag in document["tags"]:
        yield f"## {tag['name'].capitalize()}\n\n{tag['description']}\n"
        for name, operation in operations(document):
            if tag["name"] in operation["tags"]:
                yield from _operation(name, operation)
    yield PROBLEMS
    for name, response in document["components"]["responses"].items():
        yield f"| {name.removeprefix('Problem')} | {_cell(response['description'])} |"
    yield "\n## Objects\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _object(name, schema)


def _operation(name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{operation['description']}\n"
    parameters = operation.get("parameters", ())
    if parameters:
        yield "| parameter | in | | |\n|-|-|-|-|"
    for parameter in parameters:
        schema, kind = parameter["schema"], _type(parameter["schema"])
        if schema.get("default") not in (None, ""):
            kind += f", default `{json.dumps(schema['default'])}`"
        text = _cell(parameter["description"]) + _example(schema)
        yield f"| `{parameter['name']}` | {parameter['in']} | {kind} | {text} |"
    yield ""
    lines = [
        f"body: {_type(content['schema'])} as {media}"
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items():
            if status < "400":
                lines.append(f"{status}: {_type(content['schema'])} as {media}")
        if status >= "400" and "description" in response:
            lines.append(f"{status}: {response['description']}")
    yield "".join(f"- {line}\n" for line in lines)


def _object(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in schema:
        yield f"{schema['description']}\n"
    if "anyOf" in schema:  # an object, or a scalar that stands for it
        *scalars, schema = schema["anyOf"]
        yield f"{' or '.join(_type(scalar) for scalar in scalars).capitalize()}, or an object:\n"
    yield "| member | | |\n|-|-|-|"
    for member, member_schema in schema.get("properties", {}).items():
        optional = "" if member in schema.get("required", ()) else ", optional"
        text = _cell(member_schema.get("description", "")) + _example(member_schema)
        yield f"| `{member}` | {_type(member_schema)}{optional} | {text.strip()} |"
    yield ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        items = _type(schema["items"])
        return f"list of ({items})" if " or " in items else f"list of {items}"
    return str(schema.get("type", "any"))


def _example(schema: dict[str, Any]) -> str:
    if not schema.get("examples"):
        return ""
    example = schema["examples"][0]
    return f" (`{example if isinstance(example, str) else json.dumps(example)}`)"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
