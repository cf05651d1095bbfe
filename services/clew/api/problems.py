"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from difflib import SequenceMatcher
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clew.access import AccessError, Unauthenticated
from clew.analysis import DocumentError
from clew.storage import Cancelled, FilterError, LimitExceeded, StorageError

logger = logging.getLogger(__name__)

RETRY_AFTER = 10  # seconds


class Problem(HTTPException):
    """A response that is not a success: its status and a detail that says what to do."""


class UnknownParameters(Exception):
    """Query parameters that a route does not have. `errors`: one for each, with the nearest known
    parameter. `known`: all parameters of the route."""

    def __init__(self, unknown: Sequence[str], known: Sequence[str]) -> None:
        self.errors = [{"parameter": name, "detail": _advice(name, known)} for name in unknown]
        choices = f"known parameters: {', '.join(known)}" if known else ""
        super().__init__(
            "; ".join([*(error["detail"] for error in self.errors), choices]).strip("; ")
        )


def _advice(unknown: str, known: Sequence[str]) -> str:
    text = f"unknown parameter {unknown!r}"
    return (
        f"{text}: the nearest known one is {nearest(unknown, known)!r}"
        if known
        else f"{text}: this path has no parameters"
    )


def nearest(text: str, choices: Sequence[str]) -> str:
    """The choice that is most similar to the text, without regard to case."""
    return max(
        choices, key=lambda choice: SequenceMatcher(None, choice, text[:100].lower()).ratio()
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Respond to every error of the application with a problem document."""

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def invalid_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"parameter": str(fault["loc"][-1]), "detail": fault["msg"]} for fault in error.errors()
        ]
        detail = "; ".join(f"{fault['parameter']}: {fault['detail']}" for fault in errors)
        return problem_response(422, detail, errors=errors)

    @app.exception_handler(UnknownParameters)
    def unknown_parameters(request: Request, error: UnknownParameters) -> JSONResponse:
        return problem_response(400, str(error), errors=error.errors)

    @app.exception_handler(AccessError)
    def access_error(request: Request, error: AccessError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(FilterError)
    def filter_error(request: Request, error: FilterError) -> JSONResponse:
        return problem_response(400, str(error))

    @app.exception_handler(DocumentError)
    def document_error(request: Request, error: DocumentError) -> JSONResponse:
        errors = [asdict(problem) for problem in error.problems]
        return problem_response(422, str(error), errors=errors)

    @app.exception_handler(LimitExceeded)
    def limit_exceeded(request: Request, error: LimitExceeded) -> JSONResponse:
        advice = "query limit exceeded: narrow the time window or add filters"
        if not error.retry:
            return problem_response(422, f"{advice} ({error})")
        detail = f"{advice}, or try again when the server is less busy ({error})"
        return problem_response(503, detail, retry_after=RETRY_AFTER)

    @app.exception_handler(Cancelled)
    def cancelled(request: Request, error: Cancelled) -> JSONResponse:
        return problem_response(503, "the client has disconnected")

    @app.exception_handler(StorageError)
    def storage_error(request: Request, error: StorageError) -> JSONResponse:
        logger.error("%s %s: %s", request.method, request.url.path, error)
        return problem_response(503, "the database cannot answer this query; see clew's log")

    @app.exception_handler(Exception)
    def internal_error(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s", request.method, request.url.path, exc_info=error)
        return problem_response(500, "an error in clew; see its log")


def refusal(error: AccessError) -> JSONResponse:
    """The problem document for a request without a valid key (401) or whose key's scopes do not
    allow it (403)."""
    response = problem_response(401 if isinstance(error, Unauthenticated) else 403, str(error))
    response.headers["www-authenticate"] = 'Bearer realm="clew"'
    return response


def problem_response(
    status: int, detail: str, *, retry_after: int | None = None, **members: Any
) -> JSONResponse:
    """A problem document. `retry_after`: seconds, if trying again can help."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    headers = {"retry-after": str(retry_after)} if retry_after else None
    return JSONResponse(body | members, status, headers, "application/problem+json")
