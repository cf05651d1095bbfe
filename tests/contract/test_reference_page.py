"""The OpenAPI document is whole, and docs/api.md is what it says."""

from __future__ import annotations

from typing import Any, cast

import pytest
import write_api

from clew.api import create_app
from clew.api.reference import TAGS, operations

DOCUMENT = create_app(cast(Any, None), lambda: True, registry=cast(Any, object())).openapi()
OPERATIONS = dict(operations(DOCUMENT))


def test_the_page_is_current() -> None:
    assert write_api.PAGE.read_text() == write_api.page(), "run: python docs/write_api.py"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_does_and_answers(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["description"]
    assert operation["operationId"]
    assert set(operation["tags"]) <= TAGS.keys()
    success = next(answer for status, answer in operation["responses"].items() if status < "400")
    for content in success["content"].values():
        assert content["schema"], "a success without a model"
    if "/api/v1" in name:
        for status, answer in operation["responses"].items():
            assert (
                status < "400"
                or "$ref" in answer
                or "application/problem+json" in answer["content"]
            )
        assert {"400", "422", "429", "503"} <= operation["responses"].keys()


def test_operations_have_ids_of_their_own() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_every_member_is_described() -> None:
    undescribed = [
        f"{name}.{member}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for member, member_schema in schema.get("properties", {}).items()
        if not member_schema.get("description")
    ]
    assert not undescribed


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_is_described(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", ()):
        assert parameter.get("description"), parameter["name"]
