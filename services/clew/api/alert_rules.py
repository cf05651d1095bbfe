"""Reads and replaces the rules of alerts that come over the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from fastapi import Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from clew.access import Forbidden
from clew.analysis import RevisionConflict, documents
from clew.analysis.alerts.rulebook import Rulebook, RuleSet
from clew.analysis.alerts.rules import json_schema
from clew.analysis.watching.noticed import effect_check
from clew.api.access import requires
from clew.api.freshness import reads
from clew.api.models import alert_rules as models
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
from clew.storage.statements import Statements

router = routes("alerts/rules")

GET_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": models.RulesAnswer,
        "content": {YAML: {"schema": {"$ref": REFERENCE.format(model="RulesBody")}}},
    },
}
PUT_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": models.RulesAnswer}, **REFUSALS}
SCHEMA_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}},
}


def rulebook_of(request: Request) -> Rulebook:
    """The rules in force; read from the database first, where the process has not done so."""
    state = request.app.state
    if state.rulebook is None:
        store = state.reader.store
        check = effect_check(Statements(store), state.definitions.definitions)
        state.rulebook = Rulebook(Statements(store), store.shared, check=check)
    rulebook: Rulebook = state.rulebook
    return rulebook


@router.get("", responses=GET_ANSWERS, response_model=None)
@reads()
def alert_rules(
    request: Request,
    accept: Annotated[str, Header()] = JSON,
    format: Annotated[
        Literal["json", "yaml"] | None,
        Query(description="the form of the answer; without it, Accept decides"),
    ] = None,
) -> Response:
    """The rules in force: what came over the API in a form that PUT takes unchanged; beside it, in
    JSON, what stands in the file of --alerts, and the names of the receivers there.

    Every change over the API makes a new `revision`, which is also the ETag."""
    rules = rulebook_of(request).current()
    if (format or preferred_form(accept)) == "yaml":
        return _yaml(rules, str(request.url_for("alert_rules_schema")))
    return _json(rules)


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


@router.get("/schema", responses=SCHEMA_ANSWERS, response_class=SchemaResponse, response_model=None)
@reads()
def alert_rules_schema() -> Response:
    """The JSON schema of a file of --alerts, for editors."""
    return SchemaResponse(json_schema())


@router.put(
    "",
    responses=PUT_ANSWERS,
    openapi_extra=request_body(models.RulesBody, JSON, YAML),
    response_model=None,
)
@requires("admin")
async def replace_alert_rules(
    request: Request,
    content_type: Annotated[str, Header()] = "",
    if_match: Annotated[
        str | None, Header(description="the ETag of the revision to replace")
    ] = None,
) -> Response:
    """Replaces all rules, routes and windows that came over the API; those of the file stay, and
    count too. Receivers come from the file alone.

    If there are API keys, this needs one with the scope `admin`. Rules with `sql` need the scope
    `database` too: they run statements of their own, so without API keys they stand in the file."""
    rulebook, principal = rulebook_of(request), request.state.principal
    form, expected = body_form(content_type), expected_revisions(if_match)
    body = await read_body(request)

    def replace() -> RuleSet:
        rules = documents.read(body, form, models.RulesBody, "the body").rules_alone
        if any(rule.sql is not None for rule in rules.rules) and not principal.may("database"):
            raise Forbidden("database")
        return rulebook.replace(rules, expected)

    try:
        return _json(await run_in_threadpool(replace))
    except RevisionConflict as error:
        raise Problem(412, f"{error}: read the rules again") from error


def _json(rules: RuleSet) -> Response:
    receivers = [
        {"name": name, "kind": receiver.kind} for name, receiver in rules.file.receivers.items()
    ]
    file = rules.file.document
    for name in ("receivers", "heartbeat"):
        file.pop(name, None)
    members = {"revision": str(rules.revision), "file": file, "receivers": receivers}
    return JSONResponse(rules.api.document | members, headers=revision_headers(rules.revision))


def _yaml(rules: RuleSet, schema: str) -> Response:
    comments = f"# yaml-language-server: $schema={schema}\n# revision {rules.revision}\n"
    text = yaml.safe_dump(rules.api.document, sort_keys=False, allow_unicode=True, width=100)
    return Response(comments + text, media_type=YAML, headers=revision_headers(rules.revision))
