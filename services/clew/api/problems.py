"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import logging
from dataclasses import asdict
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

BUSY = 10  # seconds until trying again may help


class Problem(HTTPException):
    """An answer that is no success: `status_code` and a detail that says what to do."""


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return document(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"parameter": str(each["loc"][-1]), "detail": each["msg"]} for each in error.errors()
        ]
        detail = "; ".join(f"{each['parameter']}: {each['detail']}" for each in errors)
        return document(422, detail, errors=errors)

    @app.exception_handler(AccessError)
    def forbidden(request: Request, error: AccessError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(FilterError)
    def unreadable(request: Request, error: FilterError) -> JSONResponse:
        return document(400, str(error))

    @app.exception_handler(DocumentError)
    def unusable(request: Request, error: DocumentError) -> JSONResponse:
        errors = [asdict(problem) for problem in error.problems]
        return document(422, str(error), errors=errors)

    @app.exception_handler(LimitExceeded)
    def exceeded(request: Request, error: LimitExceeded) -> JSONResponse:
        asks = "ask for a smaller window, or filter by more"
        if not error.retry:
            return document(422, f"past what one request may take: {asks} ({error})")
        detail = (
            f"past what one request may take: {asks}, or try again when less is asked ({error})"
        )
        return document(503, detail, retry_after=BUSY)

    @app.exception_handler(Cancelled)
    def cancelled(request: Request, error: Cancelled) -> JSONResponse:
        return document(503, "nobody waits for this answer")

    @app.exception_handler(StorageError)
    def failed(request: Request, error: StorageError) -> JSONResponse:
        logger.error("%s %s: %s", request.method, request.url.path, error)
        return document(503, "the database does not answer this query; clew's log says why")

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s", request.method, request.url.path, exc_info=error)
        return document(500, "an error in clew; its log says which")


def refusal(error: AccessError) -> JSONResponse:
    """The problem document for a request without a valid key (401) or whose key's scopes do not
    allow it (403)."""
    response = document(401 if isinstance(error, Unauthenticated) else 403, str(error))
    response.headers["www-authenticate"] = 'Bearer realm="clew"'
    return response


def document(
    status: int, detail: str, *, retry_after: int | None = None, **members: Any
) -> JSONResponse:
    """A problem document as a response; `retry_after`: seconds, where trying again helps."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    headers = {"retry-after": str(retry_after)} if retry_after else None
    return JSONResponse(body | members, status, headers, "application/problem+json")
