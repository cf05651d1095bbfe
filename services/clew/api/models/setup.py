"""How a clew is set up."""

from __future__ import annotations

from pydantic import Field

from clew.api.reference import Model


class Endpoints(Model):
    """URLs that the process serves; empty for what it does not serve."""

    otlp_http: str = Field(examples=["http://127.0.0.1:4318"])
    """OTLP over HTTP."""
    otlp_grpc: str = Field(examples=["http://127.0.0.1:4317"])
    """OTLP over gRPC."""
    api: str = Field(examples=["http://127.0.0.1:4319"])
    """The API and the web UI."""
    clickhouse: str = Field(examples=["http://127.0.0.1:8123"])
    """ClickHouse's HTTP protocol."""


class Setup(Model):
    """How this clew is set up."""

    version: str = Field(examples=["0.1.0"])
    """Version of clew."""
    endpoints: Endpoints
    """Its addresses."""
    api_keys: bool
    """Whether clients need an API key."""
    scopes: list[str] = Field(examples=[["operate", "read"]])
    """Scopes of the API key that asks; without API keys, all that clients have."""
