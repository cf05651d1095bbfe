"""A client of a running clew's API, for commands."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from clew.cli.doctor.connection import Response, request
from clew.cli.settings import API, UsageError

_ADDRESS = API.default
_WITHIN = 40.0  # seconds: the API takes 20 at most, a receiver of alerts 10


def api_url(flag: str, variable: str, data: Path) -> tuple[str, bool]:
    """The URL of the API, and whether it is that of the clew that runs on the data directory. The
    flag goes first, then a URL in CLEW_API, then the data directory; an address in CLEW_API is the
    one on which `clew up` is to listen."""
    text = flag or (variable if "://" in variable else "")
    if text:
        return (text.rstrip("/") if "://" in text else f"http://{text}"), False
    try:
        endpoints = json.loads((data / "endpoints.json").read_text())
        return str(endpoints["api"] or f"http://{_ADDRESS}"), True
    except (OSError, ValueError, KeyError):
        is_used = variable and not variable.endswith(":0")
        return f"http://{variable if is_used else _ADDRESS}", False


def detail_of(response: Response) -> str:
    """What a problem document says, or the status's own words."""
    try:
        return str(json.loads(response.body)["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason


@dataclass(frozen=True)
class Client:
    """Sends requests to an API. `url`: its address; `environ` has the key, CLEW_API_KEY."""

    url: str
    environ: Mapping[str, str]

    @classmethod
    def create(cls, flag: str, data: Path, environ: Mapping[str, str] = os.environ) -> Client:
        """For the address that a flag, CLEW_API or the data directory names, as `api_url` says."""
        return cls(api_url(flag, environ.get(API.variable, ""), data)[0], environ)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **parameters: str | int,
    ) -> dict[str, Any]:
        """The document of a success. Raises UsageError with what the API says otherwise."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        key = self.environ.get("CLEW_API_KEY", "")
        headers = {"content-type": "application/json"} if body is not None else {}
        if key:
            headers["authorization"] = f"Bearer {key}"
        response = request(
            method,
            f"{self.url}/api/v1/{path}{query}",
            None if body is None else json.dumps(body).encode(),
            headers,
            self.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None,
            _WITHIN,
        )
        if not response.status:
            mend = "start clew up, or name its API: --api URL, or its directory: --data DIR"
            raise UsageError(f"{self.url}: {response.reason}: {mend}")
        if response.status in (401, 403):
            raise UsageError(f"{detail_of(response)}; the variable CLEW_API_KEY has the key")
        if response.status >= 400:
            raise UsageError(detail_of(response))
        document: dict[str, Any] = json.loads(response.body)
        return document
