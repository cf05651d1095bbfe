"""Attributes and their values, to complete what is being typed: from a rollup of a part of the
telemetry, never from the spans themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query

from clew.api import models
from clew.api.answer import Answering
from clew.api.parameters import CommonParameters
from clew.api.reference import routes
from clew.storage import queries

router = routes("attributes")

Source = Annotated[
    Literal["span", "resource", "log"] | None, Query(description="where the attribute stands")
]
Prefix = Annotated[str, Query(description="how it begins; upper and lower case are two things")]


@router.get("", response_model=models.AttributeKeys)
def list_attributes(
    common: CommonParameters,
    answer: Answering,
    source: Source = None,
    prefix: Prefix = "",
    service: str | None = None,
) -> dict[str, Any]:
    """The attributes of the window's hours, the most frequent first, of all environments. Counts
    are of the part of the telemetry that was looked at: they tell what is frequent, not how often
    it was."""
    return answer.of(
        attributes=answer.most(
            queries.ATTRIBUTES,
            common.limit,
            **common.window.parameters,
            source=source,
            prefix=prefix,
            service=service,
        )
    )


@router.get("/{key:path}/values", response_model=models.AttributeValues)
def list_values(
    key: Annotated[str, Path(description="an attribute's key, percent-encoded")],
    common: CommonParameters,
    answer: Answering,
    source: Source = None,
    prefix: Prefix = "",
    service: str | None = None,
) -> dict[str, Any]:
    """The values of one attribute in the window's hours, the most frequent first, of all
    environments."""
    return answer.of(
        key=key,
        values=answer.most(
            queries.ATTRIBUTE_VALUES,
            common.limit,
            **common.window.parameters,
            key=key,
            source=source,
            prefix=prefix,
            service=service,
        ),
    )
