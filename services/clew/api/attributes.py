"""Attributes and their values, for autocompletion: from counts of a part of the telemetry
(`clew_attributes`), never from the spans themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Path, Query

from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import attributes as models
from clew.api.parameters import CommonDependency
from clew.api.reference import routes
from clew.api.sorting import Order, sort_parameter
from clew.storage import queries

router = routes("attributes")

KEY_SORTS = ("count", "key")
VALUE_SORTS = ("count", "value")

Source = Annotated[
    Literal["span", "resource", "log"] | None,
    Query(description="Only attributes of spans, of resources or of log records."),
]
KeyPrefix = Annotated[
    str, Query(description="Only keys that start with this text; case-sensitive.")
]
ValuePrefix = Annotated[
    str, Query(description="Only values that start with this text; case-sensitive.")
]


@router.get("", response_model=models.AttributeKeys)
@reads("traces", "logs")
def list_attributes(
    common: CommonDependency,
    answer: AnswerDependency,
    source: Source = None,
    prefix: KeyPrefix = "",
    service: str | None = None,
    sort: Annotated[str | None, sort_parameter(KEY_SORTS, "count")] = None,
) -> dict[str, Any]:
    """Attribute keys, most frequent first.

    Covers all environments and the whole hours that overlap the window. Only a part of the
    telemetry is counted: counts show which keys are frequent, not how often they occurred."""
    answer.rests_on_settled_traces("attributes")
    return answer.document(
        attributes=answer.limited_rows(
            queries.ATTRIBUTES,
            common.limit,
            **common.window.parameters,
            source=source,
            prefix=prefix,
            service=service,
            **_order_parameters(sort, KEY_SORTS),
        )
    )


@router.get("/{key:text}/values", response_model=models.AttributeValues)
@reads("traces", "logs")
def list_values(
    key: Annotated[str, Path(description="The attribute's key, percent-encoded.")],
    common: CommonDependency,
    answer: AnswerDependency,
    source: Source = None,
    prefix: ValuePrefix = "",
    service: str | None = None,
    sort: Annotated[str | None, sort_parameter(VALUE_SORTS, "count")] = None,
) -> dict[str, Any]:
    """The values of one attribute, most frequent first.

    Covers all environments and the whole hours that overlap the window. Only a part of the
    telemetry is counted."""
    answer.rests_on_settled_traces("attributes")
    return answer.document(
        key=key,
        values=answer.limited_rows(
            queries.ATTRIBUTE_VALUES,
            common.limit,
            **common.window.parameters,
            key=key,
            source=source,
            prefix=prefix,
            service=service,
            **_order_parameters(sort, VALUE_SORTS),
        ),
    )


def _order_parameters(sort: str | None, choices: Sequence[str]) -> dict[str, Any]:
    order = Order.parse(sort, choices, "count", {})
    return {"sort": order.key, "sign": -1 if order.is_reversed else 1}
