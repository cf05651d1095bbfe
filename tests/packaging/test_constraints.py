"""constraints.txt pins every dependency that pyproject.toml names, at a version that it allows."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from opentelemetry.instrumentation import bootstrap_gen
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clew.agent.instrumentations import LEFT_OFF, OUTSIDE, TABLE, Instrumentation

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in group
]
# The extra `browser` weighs 165 MB: `make test-browser` installs it from a file of its own.
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
BROWSER = (ROOT / "tests/browser/requirements.txt").read_text()
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", BROWSER + CONSTRAINTS, re.MULTILINE)
}
PREFIX = "opentelemetry-instrumentation-"
INSTRUMENTATIONS = [
    required
    for required in map(Requirement, PROJECT["dependencies"])
    if required.name.startswith(PREFIX)
]


@pytest.mark.parametrize("required", REQUIRED, ids=str)
def test_a_dependency_is_pinned(required: Requirement) -> None:
    version = PINS.get(canonicalize_name(required.name))
    assert version, "write constraints.txt anew, as its first lines say"
    assert required.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize(
    "required", [one for one in REQUIRED if one.name.startswith("opentelemetry-")], ids=str
)
def test_a_range_of_opentelemetry_ends_with_the_pinned_release(required: Requirement) -> None:
    """All of its packages have that release. A later patch of some pins what others do not have."""
    ends = [one.version for one in required.specifier if one.operator == "<="]
    assert ends == [PINS[canonicalize_name(required.name)]]


def test_the_first_lines_say_how_the_file_is_written() -> None:
    assert CONSTRAINTS.startswith("# Every package"), "uv drops the comment: put it back"
    assert "uv pip compile" in CONSTRAINTS.partition("==")[0]


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS, ids=str)
def test_an_instrumentation_has_the_range_of_all_and_is_switched_on(
    instrumentation: Requirement,
) -> None:
    (base,) = (
        required
        for required in map(Requirement, PROJECT["dependencies"])
        if required.name == "opentelemetry-instrumentation"
    )
    assert instrumentation.specifier == base.specifier
    module = instrumentation.name.removeprefix(PREFIX).replace("-", "_").replace("_python", "")
    switched_on = {row.path.partition(":")[0] for row in TABLE}
    helpers = {"asgi", "wsgi", "dbapi", "logging", "system_metrics"}
    assert module in switched_on | helpers


def test_what_contrib_instruments_is_switched_on_or_left_off_for_a_reason() -> None:
    known = {row.path.partition(":")[0] for row in TABLE} | LEFT_OFF.keys()
    known |= {row.name for row in TABLE if not row.path}  # the agent's own
    known |= {row.instrumentation.path.partition(":")[0] for row in OUTSIDE}
    known |= {"asgi", "wsgi", "dbapi", "logging", "system_metrics"}  # used by others, or by name
    offered = [
        *(row["instrumentation"] for row in bootstrap_gen.libraries),
        *bootstrap_gen.default_instrumentations,
    ]
    for text in offered:
        name = Requirement(text).name.removeprefix(PREFIX).replace("-", "_")
        assert name.removesuffix("_python") in known, text


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.path and row.name != "sqlite3"], ids=lambda row: row.name
)
def test_a_row_names_an_entry_point_of_contrib(row: Instrumentation) -> None:
    (entry_point,) = entry_points(group="opentelemetry_instrumentor", name=row.name)
    assert entry_point.value == f"opentelemetry.instrumentation.{row.path}"
    assert entry_point.dist is not None
    assert canonicalize_name(entry_point.dist.name) == row.package
