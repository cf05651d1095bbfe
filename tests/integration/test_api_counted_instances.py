"""Every number of instances in the joined view and the funnel is the length of the list of instances
that the same texts select."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.storage import Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.seeded import seed

DEFINED = "checkout"
SOME = 4  # rows of a list that are looked at


@dataclass(frozen=True)
class Dataset:
    """A transaction's joined view, over half an hour of a shop."""

    api: ApiClient
    window: dict[str, str]
    automatic: str  # id of an automatic transaction

    def view(self, id: str) -> dict[str, Any]:
        return self.get(f"/api/v1/transactions/{id}", limit=1000)

    def count(self, id: str, **filters: Any) -> int:
        document = self.get(f"/api/v1/transactions/{id}/instances", limit=1000, **filters)
        return len(document["instances"])

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        return self.api.get(path, **self.window, **parameters)


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    seeded = seed(store, tmp_path_factory.mktemp("seed"))
    window = {
        "start": rfc3339(seeded.start * 10**9),
        "end": rfc3339(seeded.end * 10**9),
    }
    api = ApiClient(store)
    listed = api.get("/api/v1/transactions", **window)["transactions"]
    automatic = next(row["id"] for row in listed if row["name"] == "storefront: POST /checkout")
    return Dataset(api, window, automatic)


def _texts(row: dict[str, Any], *members: str) -> str:
    return json.dumps([row[member] for member in members])


def _check(numbers: list[int]) -> None:
    """Some of the numbers are neither 0 nor the same as all others."""
    assert len(set(numbers)) > 1
    assert any(numbers)


@pytest.mark.parametrize("kind", ["defined", "automatic"])
def test_operations(dataset: Dataset, kind: str) -> None:
    id = DEFINED if kind == "defined" else dataset.automatic
    rows = dataset.view(id)["breakdown"]
    _check([row["instances"] for row in rows])
    for row in rows[:SOME]:
        operation = _texts(row, "service", "operation", "kind")
        assert dataset.count(id, operation=operation) == row["instances"]


@pytest.mark.parametrize("kind", ["defined", "automatic"])
def test_calls(dataset: Dataset, kind: str) -> None:
    id = DEFINED if kind == "defined" else dataset.automatic
    rows = dataset.view(id)["dependencies"]
    _check([row["instances"] for row in rows])
    _check([row["failed_instances"] for row in rows])
    for row in rows[:: len(rows) // SOME]:
        call = _texts(row, "type", "name", "source", "summary")
        assert dataset.count(id, call=call) == row["instances"]
        assert dataset.count(id, failed_call=call) == row["failed_instances"]
    assert dataset.count(id, call=_texts(rows[0], "type")) >= rows[0]["instances"]


@pytest.mark.parametrize("kind", ["defined", "automatic"])
def test_exceptions(dataset: Dataset, kind: str) -> None:
    id = DEFINED if kind == "defined" else dataset.automatic
    rows = dataset.view(id)["exceptions"]
    _check([row["instances"] for row in rows])
    for row in rows:
        exception = _texts(row, "service", "type", "message", "frame")
        assert dataset.count(id, exception=exception) == row["instances"]


def test_steps(dataset: Dataset) -> None:
    steps = dataset.get(f"/api/v1/transactions/{DEFINED}/funnel")["steps"]
    _check([step["reached"] for step in steps])
    for step in steps:
        assert dataset.count(DEFINED, reached=step["name"]) == step["reached"]
        failed = dataset.count(DEFINED, last_step=step["name"], status="error")
        assert failed == step["errors"]
    ended = [dataset.count(DEFINED, last_step=step["name"]) for step in steps]
    assert sum(ended) == steps[0]["reached"]


def test_the_service_level_objective(dataset: Dataset) -> None:
    slo = dataset.view(DEFINED)["transaction"]["slo"]
    assert dataset.count(DEFINED, slo="good") == slo["good"]
    assert dataset.count(DEFINED, slo="bad") == slo["total"] - slo["good"] > 0


FAULTY = [
    {"call": "database"},
    {"call": "[]"},
    {"call": "[1]"},
    {"failed_call": '["database", "a", "b", "c", "d"]'},
    {"exception": '{"type": "ValueError"}'},
    {"operation": "[" * 9000},
    {"reached": "ship"},
    {"last_step": ""},
]


@pytest.mark.parametrize("filters", FAULTY, ids=lambda filters: next(iter(filters)))
def test_filters_that_say_nothing_are_refused(dataset: Dataset, filters: dict[str, str]) -> None:
    path = f"/api/v1/transactions/{DEFINED}/instances"
    (name,) = filters
    problem = dataset.api.problem(path, **filters)
    assert problem["status"] == 422
    assert name in problem["detail"] or "its steps are 'Checkout', 'pay'" in problem["detail"]


def test_an_automatic_transaction_has_no_steps_and_no_objective(dataset: Dataset) -> None:
    path = f"/api/v1/transactions/{dataset.automatic}/instances"
    for filters in ({"reached": "pay"}, {"last_step": "pay"}, {"slo": "bad"}):
        assert dataset.api.problem(path, **filters)["status"] == 422
