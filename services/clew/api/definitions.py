"""Reads and replaces the definitions of business transactions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from clew.analysis import Registry, Revision, RevisionConflict, documents
from clew.analysis.documents import MAX_BYTES, Form
from clew.analysis.transactions.definitions import json_schema, write
from clew.analysis.transactions.registry import revision_from_rows
from clew.api.access import requires
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import definitions as models
from clew.api.problems import Problem
from clew.api.reference import REFERENCE, request_body, routes
from clew.storage import queries

router = routes("definitions")

JSON, YAML = "application/json", "application/yaml"
FORMS: dict[str, Form] = {
    JSON: "json",
    YAML: "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
GET_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": models.DefinitionsAnswer,
        "content": {YAML: {"schema": {"$ref": REFERENCE.format(model="DefinitionsBody")}}},
    },
}
SCHEMA_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}},
}
PUT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": models.DefinitionsAnswer},
    409: {"description": "the definitions come from a file"},
    412: {"description": "the definitions have changed since the revision in If-Match"},
    413: {"description": "the body is too large"},
    415: {"description": "the body is neither JSON nor YAML"},
    422: {
        "description": "the definitions cannot be used: `errors` has every problem, with its field "
        "and, in YAML, its line"
    },
}


@router.get("", responses=GET_ANSWERS, response_model=None)
@reads()
def definitions(
    request: Request,
    answer: AnswerDependency,
    accept: Annotated[str, Header()] = JSON,
    format: Annotated[
        Literal["json", "yaml"] | None,
        Query(description="the form of the answer; without it, Accept decides"),
    ] = None,
) -> Response:
    """The definitions in force, in a form that PUT takes unchanged.

    Every change makes a new `revision`, which is also the ETag. `origin` is the file that the
    definitions come from, or `api`."""
    revision = revision_from_rows(answer.rows(queries.DEFINITIONS))
    if (format or _preferred(accept)) == "yaml":
        return _yaml(revision, str(request.url_for("definitions_schema")))
    return _json(revision, answer.document())


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


@router.get("/schema", responses=SCHEMA_ANSWERS, response_class=SchemaResponse, response_model=None)
@reads()
def definitions_schema() -> Response:
    """The JSON schema of a file with definitions, for editors."""
    return SchemaResponse(json_schema())


@router.put(
    "",
    responses=PUT_ANSWERS,
    openapi_extra=request_body(models.DefinitionsBody, JSON, YAML),
    response_model=None,
)
@requires("admin")
async def replace_definitions(
    request: Request,
    content_type: Annotated[str, Header()] = "",
    if_match: Annotated[
        str | None, Header(description="the ETag of the revision to replace")
    ] = None,
) -> Response:
    """Replaces all definitions; those that are not sent are removed.

    The new ones apply at once to what comes in from now on; `clew backfill` applies them to what is
    stored. If there are API keys, this needs one with the scope `admin`."""
    registry: Registry = request.app.state.definitions
    if registry.file is not None:
        raise Problem(409, f"the definitions come from the file {registry.file}: change them there")
    form, expected = _form(content_type), _revisions(if_match)
    body = await _body(request)

    def replace() -> Revision:
        document = documents.read(body, form, models.DefinitionsBody, "the body")
        return registry.replace(document.transactions, expected)

    try:
        revision = await run_in_threadpool(replace)
    except RevisionConflict as error:
        raise Problem(412, f"{error}: read the definitions again") from error
    return _json(revision, {})


def _json(revision: Revision, members: dict[str, Any]) -> Response:
    body = {
        "revision": str(revision.number),
        "origin": revision.origin,
        "transactions": [definition.document for definition in revision.definitions],
    }
    return JSONResponse(body | members, headers=_headers(revision))


def _yaml(revision: Revision, schema: str) -> Response:
    origin = re.sub(r"[^\x20-\x7e]", "?", revision.origin)
    comments = (
        f"# yaml-language-server: $schema={schema}\n# revision {revision.number}, from {origin}\n"
    )
    text = comments + write(revision.definitions)
    return Response(text, media_type=YAML, headers=_headers(revision))


def _headers(revision: Revision) -> dict[str, str]:
    return {"ETag": f'"{revision.number}"', "Vary": "Accept"}


def _preferred(accept: str) -> Form:
    """The form that an Accept header prefers; JSON if it names none."""
    best: float = 0
    form: Form = "json"
    for entry in accept.split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((_quality(text[2:]) for text in parameters if text[:2] == "q="), 1.0)
        if media in FORMS and quality > best:
            best, form = quality, FORMS[media]
    return form


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text, re.ASCII) else 0.0


def _form(content_type: str) -> Form:
    """The form that a Content-Type header names. Raises Problem."""
    media, _, parameters = content_type.partition(";")
    charset = re.search(r"charset=\"?([\w-]+)", parameters.lower())
    if media.strip().lower() not in FORMS or (charset and charset[1] not in ("utf-8", "us-ascii")):
        raise Problem(415, f"send {YAML} or {JSON}, in UTF-8")
    return FORMS[media.strip().lower()]


def _revisions(if_match: str | None) -> list[int] | None:
    """The revisions that an If-Match header names; None if any may be replaced."""
    if if_match is None or if_match.strip() == "*":
        return None
    return [int(number) for number in re.findall(r'"([0-9]{1,20})"', if_match)]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Problem(413, f"the body has more than {MAX_BYTES} bytes")
    return bytes(body)
