"""The OpenAPI document: base of the models, routes, problems, descriptions of parameters.

Models describe responses and do not run over them: rows of the database are valid already, and
100,000 spans through a model take seconds. Tests check responses against the document instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import pydantic_core
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema
from starlette.convertors import Convertor, register_url_convertor

from clew.access import READING
from clew.api.access import ScopedRoute
from clew.api.parameters import common_parameters
from clew.api.problems import UnknownParameters


class TextConvertor(Convertor[str]):
    """The rest of a path, as `{name:text}`: any text, in which there may be slashes and, unlike in
    `{name:path}`, line breaks."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", TextConvertor())

JSON, PROBLEM = "application/json", "application/problem+json"
METHODS = ("get", "put", "post", "delete", "patch")
REFERENCE = "#/components/schemas/{model}"
TAGS = {
    "transactions": "Business transactions: the list, and everything about one. One run of a "
    "transaction is an instance, which the documentation also calls an occurrence.",
    "traces": "Traces: the search, and one whole trace.",
    "logs": "Search of log records.",
    "metrics": "Metrics: their names, and series of one of them.",
    "services": "Services with their operations, and the service map.",
    "dependencies": "Third parties: external hosts against their own past.",
    "exceptions": "Exceptions over all services, in groups.",
    "events": "What happens around the services and may explain what they do: deployments, feature "
    "flags, campaigns, incidents, holidays.",
    "compare": "Comparison of two sets of traces: attribute values that are more frequent in one, "
    "and operations that changed.",
    "findings": "Findings: what is slow every day, with what it costs and what to do.",
    "diagnose": "Diagnosis: why transactions became slow or fail.",
    "attributes": "Attribute keys and values, for autocompletion.",
    "definitions": "The definitions of business transactions.",
    "alerts": "Alerts: what is wrong, and the rules that say so.",
    "baselines": "What is usual of a series, hour by hour.",
    "budgets": "Budgets of errors and of performance: what is allowed, and what is spent.",
    "forecasts": "What is expected of the next day of a series.",
    "silences": "Silences: alerts that match tell nobody for a time.",
    "notifications": "What receivers of alerts were told.",
    "receivers": "Who is told of alerts.",
    "ledger": "The account of what became of every item that was received.",
    "setup": "How this clew is set up.",
    "doctor": "Faults of what is stored, and of the installation.",
    "health": "Health of the process.",
}
PROBLEMS = {
    400: "A parameter is unknown or cannot be read; `detail` says what to write.",
    401: "The server requires an API key, and the request has none that is valid.",
    403: "The API key's scopes do not allow the request.",
    404: "Nothing has this id.",
    422: "A parameter has an invalid value, or the request exceeds a limit and would exceed it "
    "again; `detail` says what to change.",
    429: "The client has as many requests in progress as it may have. Try again after Retry-After "
    "seconds.",
    503: "The request takes too long, the server is busy, or the database does not answer. Try "
    "again after Retry-After seconds, if the header is there.",
}
TIME = (
    r"^(now|(now)?-\d{1,9}[smhdw]|\d{1,19}(\.\d+)?"
    r"|\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)$"
)
# Parameters by name: a description for operations that do not give one, and patterns and examples.
PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "start": ("", {"pattern": TIME, "examples": ["-24h", "2026-11-22T10:00:00Z", "1795341600"]}),
    "end": ("", {"pattern": TIME, "examples": ["now", "2026-11-22T11:00:00Z"]}),
    "baseline_start": ("", {"pattern": TIME, "examples": ["-25h"]}),
    "baseline_end": (
        "End of the baseline's window, used with `baseline_start`.",
        {"pattern": TIME, "examples": ["-24h"]},
    ),
    "limit": ("Maximum number of entries in the response.", {"examples": [10]}),
    "environment": ("", {"examples": ["production"]}),
    "service": ("Only data of this service (`service.name`).", {"examples": ["storefront"]}),
    "operation": ("Only data of this operation (span name).", {"examples": ["POST /checkout"]}),
    "span": ("", {"pattern": "^[0-9a-fA-F]*$"}),
    "status": ("Only traces with a span of this status.", {}),
    "min_duration_ms": (
        "Minimum duration of the whole trace, in milliseconds.",
        {"examples": [100]},
    ),
    "max_duration_ms": (
        "Maximum duration of the whole trace, in milliseconds.",
        {"examples": [60000]},
    ),
    "transaction": ("Only traces of the transaction with this id.", {"examples": ["checkout"]}),
    "transaction_id": (
        "Id of the transaction, as in the list of transactions.",
        {"pattern": "^[A-Za-z0-9_-]+$"},
    ),
    "key": ("Key of the instance, percent-encoded.", {}),
    "finding_id": ("Id of the finding, 16 hex digits.", {}),
    "alert_id": ("Id of the alert, 16 hex digits.", {}),
    "silence_id": ("Id of the silence, 16 hex digits.", {}),
    "service_name": ("Name of the service, percent-encoded.", {}),
    "receiver_name": ("Name of the receiver, percent-encoded.", {}),
    "trace_id": ("Trace id, 32 hex digits.", {"pattern": "^[0-9a-fA-F]+$"}),
    "attr": ("", {"examples": [["tenant.id=tenant-00"], ["http.response.status_code>499"]]}),
    "severity": ("", {"examples": ["error"]}),
    "event_name": ("", {"examples": ["device.app.lifecycle"]}),
    "query": ("", {"examples": ["declined"]}),
    "content-type": ("`application/json` or `application/yaml`.", {}),
    "accept": ("`application/json` or `application/yaml`.", {}),
}
# Every read takes these, so that a client can send one window to all paths. Where they have no
# meaning, as for a trace by its id, they are ignored.
COMMON_PARAMETERS = (*inspect.signature(common_parameters).parameters, "explain", "wait")
RETRY_HEADERS = {
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


class Model(BaseModel):
    """A JSON object with these members and no others. Docstrings are descriptions in the
    document."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class ProblemError(Model):
    """One of several errors."""

    parameter: str | None = None
    """Name of the parameter."""
    line: int | None = None
    """Line of the body, from 1."""
    field: str | None = None
    """Field of the body."""
    detail: str
    """What is wrong, and what to write."""


class ProblemDocument(Model):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["about:blank"])
    """Type of the problem, as a URI."""
    title: str = Field(examples=["Bad Request"])
    """Title of the status."""
    status: int = Field(examples=[400])
    """HTTP status."""
    detail: str = Field(examples=["start is not before end"])
    """What is wrong, and what to do."""
    errors: list[ProblemError] | None = None
    """Every error, if there can be several."""


class Route(ScopedRoute):
    """A route that sends its endpoint's dict as JSON, unchanged; `response_model` documents it.

    The dict is encoded at once, in the endpoint's thread: 59 MB take 0.25 s. Through the model and
    json.dumps they take 2.3 s."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _with_json_response(endpoint), **options)
        common = COMMON_PARAMETERS if READING.issuperset(self.methods or ()) else ()
        self._parameters = sorted({*query_parameters(self.dependant), *common})

    def admit(self, request: Request) -> None:
        """Also raises UnknownParameters for parameters that the route does not have."""
        super().admit(request)
        unknown = [
            name for name in dict.fromkeys(request.query_params) if name not in self._parameters
        ]
        if unknown:
            raise UnknownParameters(unknown, self._parameters)


def query_parameters(dependant: Dependant) -> list[str]:
    """The names of the query parameters of a route, and of what its endpoint depends on."""
    names = [field.alias for field in dependant.query_params]
    for dependency in dependant.dependencies:
        names += query_parameters(dependency)
    return names


def routes(path: str) -> APIRouter:
    """A router for the paths below /api/v1/`path`; the first part of `path` is their tag."""
    return APIRouter(prefix=f"/api/v1/{path}", tags=[path.partition("/")[0]], route_class=Route)


def json_response(content: Any) -> Response:
    """A response with the content as JSON; NaN and infinities become null."""
    return Response(pydantic_core.to_json(content, inf_nan_mode="null"), media_type=JSON)


def _with_json_response(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def respond_async(**arguments: Any) -> Any:
            content = await endpoint(**arguments)
            return json_response(content) if isinstance(content, dict) else content

        return respond_async

    @wraps(endpoint)
    def respond(**arguments: Any) -> Any:
        content = endpoint(**arguments)
        return json_response(content) if isinstance(content, dict) else content

    return respond


_MODELS: list[type[BaseModel]] = [ProblemDocument]  # those that are no route's response_model


def request_body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself: the body is documented as this
    model."""
    _MODELS.append(model)
    content = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    body = {"required": True, "content": dict.fromkeys(media_types, content)}
    return {"requestBody": body}


def json_lines(*models: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that sends lines of JSON itself: each is one of these models."""
    _MODELS.extend(models)
    schemas = [{"$ref": REFERENCE.format(model=model.__name__)} for model in models]
    content = {"application/x-ndjson": {"schema": {"anyOf": schemas}}}
    return {200: {"description": "Lines of JSON.", "content": content}}


def describe(app: FastAPI) -> None:
    """Complete the application's OpenAPI document: problems, parameters, tags."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _add_problems(document)
            _describe_parameters(document)
            used = {tag for _, operation in operations(document) for tag in operation["tags"]}
            document["tags"] = [
                {"name": name, "description": TAGS[name]} for name in TAGS if name in used
            ]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Operations as (`GET /path`, its object in the document)."""
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
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, made with `clew key`.",
        }
    }
    document["security"] = [{}, {"key": []}]
    for name in ("HTTPValidationError", "ValidationError"):
        del components["schemas"][name]
    for name, operation in operations(document):
        responses = operation["responses"]
        for status, response in list(responses.items()):
            if response["description"] == "Validation Error":  # FastAPI's own
                del responses[status]
            elif status >= "400":
                responses[status] = _problem(int(status), response["description"])
        for status in PROBLEMS if "/api/v1" in name else ():
            if status != 404 or _names_one(name, operation):
                reference = {"$ref": f"#/components/responses/Problem{status}"}
                responses.setdefault(str(status), reference)


def _names_one(name: str, operation: Mapping[str, Any]) -> bool:
    """Whether an id is part of the request: in the path, or a transaction's."""
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    return "{" in name or "transaction" in parameters


def _describe_parameters(document: dict[str, Any]) -> None:
    for _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            description, details = PARAMETERS.get(parameter["name"], ("", {}))
            if description:
                parameter.setdefault("description", description)
            schema = parameter["schema"]
            for choice in schema.get("anyOf", [schema]):
                if choice.get("type") == "string" and "pattern" in details:
                    choice["pattern"] = details["pattern"]
            if "examples" in details:
                schema["examples"] = details["examples"]


def _problem(status: int, description: str) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    headers = {"headers": RETRY_HEADERS} if status in (429, 503) else {}
    return {"description": description, "content": content, **headers}
