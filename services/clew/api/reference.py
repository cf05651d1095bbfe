"""What the OpenAPI document is made of: models of answers, routes that have them, problems.

Models say what an answer looks like and are not run over it: the database's rows are right already,
and 100,000 spans through them take seconds. Tests hold the answers against them instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pydantic_core
from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from clew.api.access import ScopedRoute

JSON, PROBLEM = "application/json", "application/problem+json"
METHODS = ("get", "put", "post", "delete", "patch")
REFERENCE = "#/components/schemas/{model}"
TAGS = {
    "transactions": "Business transactions: the list, and everything about one, joined.",
    "traces": "Traces: search, and one whole.",
    "logs": "Log records.",
    "metrics": "Metrics: names, and series of one.",
    "services": "Services, their operations, and who calls whom.",
    "compare": "Two sets of traces: what is more frequent in one, and what takes longer.",
    "attributes": "Which attributes there are, and which values: what a search offers to complete.",
    "definitions": "The definitions of business transactions.",
    "ledger": "What became of everything that was received.",
    "health": "The process itself.",
}
PROBLEMS = {
    400: "A parameter cannot be read; `detail` says what to write.",
    401: "The server has API keys, and none of them was sent.",
    403: "The API key's scopes do not allow this.",
    404: "There is nothing with this id.",
    422: "A parameter is outside of its range; or more is asked for than one request may take, now "
    "and later: `detail` says what to ask for instead.",
    429: "This client's requests that are being answered are as many as one may have: try again "
    "after Retry-After seconds.",
    503: "It took too long, too much is asked at the same time, or the database does not answer: "
    "try again after Retry-After seconds, where it says so.",
}
TIME = r"^(now|(now)?-\d{1,9}[smhdw]|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))$"
# Parameters that many operations have: a description where they have none, and what else is known.
PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "start": ("", {"pattern": TIME, "examples": ["-24h", "2026-11-22T10:00:00Z"]}),
    "end": ("", {"pattern": TIME, "examples": ["now", "2026-11-22T11:00:00Z"]}),
    "baseline_start": ("", {"pattern": TIME, "examples": ["-25h"]}),
    "baseline_end": ("With `baseline_start`.", {"pattern": TIME, "examples": ["-24h"]}),
    "limit": ("How many a page has at most.", {"examples": [10]}),
    "environment": ("", {"examples": ["production"]}),
    "service": ("service.name", {"examples": ["storefront"]}),
    "operation": ("The span's name.", {"examples": ["POST /checkout"]}),
    "status": ("Of the span.", {}),
    "min_duration_ms": ("The trace's.", {"examples": [100]}),
    "max_duration_ms": ("The trace's.", {"examples": [60000]}),
    "transaction": ("A transaction's id.", {"examples": ["checkout"]}),
    "transaction_id": ("As in the list.", {"pattern": "^[A-Za-z0-9_-]+$"}),
    "key": ("An occurrence's key, percent-encoded.", {}),
    "trace_id": ("Hex.", {"pattern": "^[0-9a-fA-F]+$"}),
    "attr": ("", {"examples": [["tenant.id=tenant-00"], ["http.response.status_code>499"]]}),
    "severity": ("", {"examples": ["error"]}),
    "query": ("", {"examples": ["declined"]}),
    "content-type": ("application/json or application/yaml.", {}),
    "accept": ("application/json or application/yaml.", {}),
}
ASKING_AGAIN = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
}


class Model(BaseModel):
    """A JSON object with these members and no others; what a docstring says is in the document."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class ProblemError(Model):
    """One of several mistakes."""

    parameter: str | None = None
    """Which parameter."""
    line: int | None = None
    """In which line of the body."""
    field: str | None = None
    """In which field of the body."""
    detail: str


class ProblemDocument(Model):
    """An RFC 9457 problem document: what is wrong, and what to do."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["start is not before end"])
    errors: list[ProblemError] | None = None


class Route(ScopedRoute):
    """A route whose endpoint's dict goes out as JSON as it is; `response_model` documents it.

    Written out at once, in the endpoint's thread: 59 MB take 0.25 s, by way of the model's schema
    and json.dumps 2.3 s."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _written(endpoint), **options)


def routes(path: str) -> APIRouter:
    """The routes below /api/v1/`path`; its first part is their tag."""
    return APIRouter(prefix=f"/api/v1/{path}", tags=[path.partition("/")[0]], route_class=Route)


def json_response(content: Any) -> Response:
    """What JSON has no number for is null."""
    return Response(pydantic_core.to_json(content, inf_nan_mode="null"), media_type=JSON)


def _written(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def later(**arguments: Any) -> Any:
            answer = await endpoint(**arguments)
            return json_response(answer) if isinstance(answer, dict) else answer

        return later

    @wraps(endpoint)
    def written(**arguments: Any) -> Any:
        answer = endpoint(**arguments)
        return json_response(answer) if isinstance(answer, dict) else answer

    return written


_MODELS: list[type[BaseModel]] = [ProblemDocument]  # that no route answers with


def request_body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body by itself, as a model."""
    _MODELS.append(model)
    content = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    body = {"required": True, "content": dict.fromkeys(media_types, content)}
    return {"requestBody": body}


def describe(app: FastAPI) -> None:
    """Have the application's OpenAPI document say what it may answer besides a success."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _add_problems(document)
            _describe_parameters(document)
            used = {tag for _, operation in operations(document) for tag in operation["tags"]}
            document["tags"] = [
                {"name": name, "description": TAGS[name]} for name in TAGS if name in used
            ]
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """`GET /path` and what the document says of it."""
    return [
        (f"{method.upper()} {path}", methods[method])
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    ]


def _add_problems(document: dict[str, Any]) -> None:
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template=REFERENCE
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    components["responses"] = {
        f"Problem{status}": _problem(status, text) for status, text in PROBLEMS.items()
    }
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `clew key`."}
    }
    document["security"] = [{}, {"key": []}]
    for name in ("HTTPValidationError", "ValidationError"):
        del components["schemas"][name]
    for name, operation in operations(document):
        answers = operation["responses"]
        for status, answer in list(answers.items()):
            if answer["description"] == "Validation Error":  # as FastAPI has it
                del answers[status]
            elif status >= "400":
                answers[status] = _problem(int(status), answer["description"])
        for status in PROBLEMS if "/api/v1" in name else ():
            if status != 404 or "{" in name:
                reference = {"$ref": f"#/components/responses/Problem{status}"}
                answers.setdefault(str(status), reference)


def _describe_parameters(document: dict[str, Any]) -> None:
    for _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            text, more = PARAMETERS.get(parameter["name"], ("", {}))
            if text:
                parameter.setdefault("description", text)
            schema = parameter["schema"]
            for choice in schema.get("anyOf", [schema]):
                if choice.get("type") == "string":
                    choice.update({key: more[key] for key in ("pattern",) if key in more})
            schema.update({key: more[key] for key in ("examples",) if key in more})


def _problem(status: int, text: str) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    headers = {"headers": ASKING_AGAIN} if status in (429, 503) else {}
    return {"description": text, "content": content, **headers}
