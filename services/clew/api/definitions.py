"""Reads and replaces the definitions of business transactions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from clew.analysis import Registry, Revision, RevisionConflict, documents
from clew.analysis.transactions.definitions import json_schema, write
from clew.analysis.transactions.registry import revision_from_rows
from clew.api.access import requires
from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import definitions as models
from clew.api.problems import Problem
from clew.api.reference import REFERENCE, request_body, routes
from clew.api.revisions import (
    JSON,
    REFUSALS,
    YAML,
    body_form,
    expected_revisions,
    preferred_form,
    read_body,
    revision_headers,
)
from clew.storage import queries

router = routes("definitions")

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
    **REFUSALS,
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
    if (format or preferred_form(accept)) == "yaml":
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
    form, expected = body_form(content_type), expected_revisions(if_match)
    body = await read_body(request)

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
    return JSONResponse(body | members, headers=revision_headers(revision.number))


def _yaml(revision: Revision, schema: str) -> Response:
    origin = re.sub(r"[^\x20-\x7e]", "?", revision.origin)
    comments = (
        f"# yaml-language-server: $schema={schema}\n# revision {revision.number}, from {origin}\n"
    )
    text = comments + write(revision.definitions)
    return Response(text, media_type=YAML, headers=revision_headers(revision.number))
