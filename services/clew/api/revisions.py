"""Documents that users write, as bodies of requests and answers: YAML or JSON, with a revision that
is also their ETag."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request

from clew.analysis.documents import MAX_BYTES, Form
from clew.api.problems import Problem

JSON, YAML = "application/json", "application/yaml"
FORMS: dict[str, Form] = {
    JSON: "json",
    YAML: "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
}
# What a PUT can answer besides its success; `errors` as clew.api.problems has them.
REFUSALS: dict[int | str, dict[str, Any]] = {
    412: {"description": "the document has changed since the revision in If-Match"},
    413: {"description": "the body is too large"},
    415: {"description": "the body is neither JSON nor YAML"},
    422: {
        "description": "the document cannot be used: `errors` has every problem, with its field "
        "and, in YAML, its line"
    },
}


def revision_headers(revision: int) -> dict[str, str]:
    """The headers of an answer with a revision."""
    return {"ETag": f'"{revision}"', "Vary": "Accept"}


def preferred_form(accept: str) -> Form:
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


def body_form(content_type: str) -> Form:
    """The form that a Content-Type header names. Raises Problem 415."""
    media, _, parameters = content_type.partition(";")
    charset = re.search(r"charset=\"?([\w-]+)", parameters.lower())
    if media.strip().lower() not in FORMS or (charset and charset[1] not in ("utf-8", "us-ascii")):
        raise Problem(415, f"send {YAML} or {JSON}, in UTF-8")
    return FORMS[media.strip().lower()]


def expected_revisions(if_match: str | None) -> list[int] | None:
    """The revisions that an If-Match header names; None if any may be replaced."""
    if if_match is None or if_match.strip() == "*":
        return None
    return [int(number) for number in re.findall(r'"([0-9]{1,20})"', if_match)]


async def read_body(request: Request) -> bytes:
    """The body of a request. Raises Problem 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Problem(413, f"the body has more than {MAX_BYTES} bytes")
    return bytes(body)
