"""The definitions of business transactions: read them, and put others in their place."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from clew.analysis import DefinitionError, Outdated, Registry, Revision
from clew.analysis.transactions import definitions as definitions_module
from clew.analysis.transactions.documents import MAX_BYTES
from clew.analysis.transactions.registry import of_rows
from clew.api import models
from clew.api.parameters import Answering
from clew.api.problems import Problem, document
from clew.api.reference import routes

router = routes("definitions")

JSON = "application/json"
YAML = "application/yaml"
FORMS = {
    JSON: "json",
    YAML: "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
BODY = {"schema": {"type": "object"}}

PUT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": models.Definitions},
    409: {"description": "the definitions come from a file"},
    412: {"description": "If-Match: the definitions have changed since"},
    413: {"description": "the body is too large"},
    415: {"description": "the body is neither JSON nor YAML"},
    422: {"description": "definitions that cannot be used: `errors` has each, with line and field"},
}


@router.get(
    "",
    responses={200: {"model": models.Definitions, "content": {YAML: BODY}}},
    response_model=None,
)
def definitions(
    answer: Answering,
    accept: Annotated[str, Header()] = JSON,
    format: Annotated[
        Literal["json", "yaml"] | None, Query(description="otherwise as Accept says")
    ] = None,
) -> Response:
    """The definitions in force, in a form that PUT takes unchanged.

    `revision` changes with every change, and is the ETag; `origin` is the file that they come from,
    or `api`."""
    revision = of_rows(answer.rows("definitions"))
    if (format or _preferred(accept)) == "yaml":
        return _yaml(revision)
    return _json(revision, answer.of())


@router.put(
    "",
    responses=PUT_ANSWERS,
    openapi_extra={
        "requestBody": {"required": True, "content": {JSON: BODY, YAML: BODY}},
    },
    response_model=None,
)
async def replace_definitions(
    request: Request,
    content_type: Annotated[str, Header()] = "",
    if_match: Annotated[str | None, Header(description="the ETag of what is replaced")] = None,
) -> Response:
    """Put definitions in the place of all that there are; none is kept that is not sent.

    They hold at once for what comes in from now on; `clew backfill` applies them to what is stored.
    Where there are API keys, this needs one with the scope `admin`."""
    registry: Registry = request.app.state.definitions
    if registry.file is not None:
        raise Problem(409, f"the definitions come from the file {registry.file}: change them there")
    form = _form(content_type)
    expected = _revisions(if_match)
    body = await _body(request)
    try:
        sent = definitions_module.read(body, form, "the body")
        revision = await run_in_threadpool(registry.replace, sent, expected)
    except DefinitionError as error:
        errors = [vars(fault) for fault in error.faults]
        return document(422, str(error), errors=errors)
    except Outdated as error:
        raise Problem(412, f"{error}: read them again") from error
    return _json(revision, {})


def _json(revision: Revision, members: dict[str, Any]) -> Response:
    body = {
        "revision": str(revision.number),
        "origin": revision.origin,
        "transactions": [each.document for each in revision.definitions],
    }
    return JSONResponse(body | members, headers=_headers(revision))


def _yaml(revision: Revision) -> Response:
    origin = re.sub(r"[^\x20-\x7e]", "?", revision.origin)
    comment = f"# revision {revision.number}, from {origin}\n"
    text = comment + definitions_module.write(revision.definitions)
    return Response(text, media_type=YAML, headers=_headers(revision))


def _headers(revision: Revision) -> dict[str, str]:
    return {"ETag": f'"{revision.number}"', "Vary": "Accept"}


def _preferred(accept: str) -> str:
    """Of JSON and YAML the one that an Accept header puts first, JSON where it says neither."""
    best, form = 0.0, "json"
    for entry in accept.split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((_quality(each[2:]) for each in parameters if each[:2] == "q="), 1.0)
        if media in FORMS and quality > best:
            best, form = quality, FORMS[media]
    return form


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text, re.ASCII) else 0.0


def _form(content_type: str) -> str:
    media, _, parameters = content_type.partition(";")
    charset = re.search(r"charset=\"?([\w-]+)", parameters.lower())
    if media.strip().lower() not in FORMS or (charset and charset[1] not in ("utf-8", "us-ascii")):
        raise Problem(415, f"send {YAML} or {JSON}, in UTF-8")
    return FORMS[media.strip().lower()]


def _revisions(if_match: str | None) -> list[int] | None:
    """The revisions that an If-Match header names; None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return [int(each) for each in re.findall(r'"([0-9]{1,20})"', if_match)]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Problem(413, f"the body has more than {MAX_BYTES} bytes")
    return bytes(body)
