"""OpenTelemetry packages of releases that do not fit are named in one line; the service runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from clew.agent import distributions, versions
from support.capture import capturing, under_clew_run

ROOT = Path(__file__).parents[2]
CORE = ("opentelemetry_api", "opentelemetry_sdk", "opentelemetry_exporter_otlp_proto_http")
BETA = ("opentelemetry_semantic_conventions", "opentelemetry_instrumentation")


def _metadata(directory: Path, name: str, version: str, *requires: str) -> None:
    metadata = directory / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = [f"Name: {name.replace('_', '-')}", f"Version: {version}"]
    lines += [f"Requires-Dist: {text}" for text in requires]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of distributions, the only one on sys.path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    distributions.installed.cache_clear()
    yield tmp_path / "packages"
    distributions.installed.cache_clear()


def _clash(packages: Path, stable: str, beta: str, **others: str) -> versions.Clash | None:
    chosen = {**dict.fromkeys(CORE, stable), **dict.fromkeys(BETA, beta), **others}
    for name, version in chosen.items():
        _metadata(packages, name, version)
    return versions.clash()


@pytest.mark.parametrize(
    ("stable", "beta"), [("1.41.1", "0.62b1"), ("1.44.0", "0.65b0"), ("1.45.2", "0.66b2")]
)
def test_one_release_of_the_range_fits(packages: Path, stable: str, beta: str) -> None:
    assert _clash(packages, stable, beta, flask="3.1") is None


def test_patches_of_one_release_fit(packages: Path) -> None:
    others = {"opentelemetry_sdk": "1.45.2", "opentelemetry_instrumentation_flask": "0.66b2"}
    assert _clash(packages, "1.45.1", "0.66b1", **others) is None


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("opentelemetry_sdk", "1.39.1"),
        ("opentelemetry_sdk", "1.41.0"),
        ("opentelemetry_api", "1.46.0"),
        ("opentelemetry_api", "2.0.0"),
        ("opentelemetry_instrumentation", "0.60b1"),
        ("opentelemetry_semantic_conventions", "0.67b0"),
    ],
)
def test_what_is_outside_of_the_range_is_named_with_the_range(
    packages: Path, name: str, version: str
) -> None:
    clash = _clash(packages, "1.45.1", "0.66b1", **{name: version})
    assert clash is not None
    assert clash.is_fatal
    project = name.replace("_", "-")
    assert clash.text.startswith(f"{project} {version} is outside of what clew works with")
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    requirements = {one.name: one for one in map(Requirement, dependencies)}
    # The same range as that of clew's own dependencies.
    beta = project in ("opentelemetry-instrumentation", "opentelemetry-semantic-conventions")
    specifier = requirements["opentelemetry-instrumentation" if beta else "opentelemetry-sdk"]
    offered = Requirement(clash.text.rpartition("install ")[2].strip("'"))
    assert offered.name == project
    assert offered.specifier == specifier.specifier
    assert not offered.specifier.contains(Version(version), prereleases=True)


def test_who_requires_such_a_version_is_named(packages: Path) -> None:
    _metadata(packages, "google_adk", "1.0", 'opentelemetry-sdk<=1.39.1,>=1.36 ; extra == "a"')
    _metadata(packages, "other", "1.0", "opentelemetry-sdk>=1.2", "opentelemetry-sdk-extra<2")
    clash = _clash(packages, "1.45.1", "0.66b1", opentelemetry_sdk="1.39.1")
    assert clash is not None
    assert "; google-adk requires opentelemetry-sdk<=1.39.1,>=1.36)" in clash.text
    assert "other" not in clash.text


def test_the_minority_is_to_follow_unless_somebody_requires_it(packages: Path) -> None:
    others = {"opentelemetry_sdk": "1.44.0"}
    clash = _clash(packages, "1.45.1", "0.66b1", **others)
    assert clash is not None
    assert not clash.is_fatal
    assert clash.text.startswith("opentelemetry-sdk 1.44.0 is of another release")
    assert clash.text.endswith("install 'opentelemetry-sdk>=1.45.0,<=1.45.1'")

    _metadata(packages, "google_adk", "1.0", "opentelemetry-sdk<=1.44.9")
    clash = versions.clash()
    assert clash is not None
    assert clash.text.endswith("install clew 'opentelemetry-sdk>=1.44.0,<1.45'")
    assert "google-adk requires opentelemetry-sdk<=1.44.9" in clash.text


def test_an_instrumentation_of_another_release_is_named(packages: Path) -> None:
    others = {"opentelemetry_instrumentation_flask": "0.64b0"}
    clash = _clash(packages, "1.45.1", "0.66b1", **others)
    assert clash is not None
    assert clash.text.startswith("opentelemetry-instrumentation-flask 0.64b0 is of another")
    assert clash.text.endswith("'opentelemetry-instrumentation-flask>=0.66b0,<=0.66b1'")


def test_metadata_that_cannot_be_understood_is_no_clash(packages: Path) -> None:
    assert _clash(packages, "dev", "", flask="3.1") is None
    assert _clash(packages, "1.45.1.dev0", "0.66b1.dev0", flask="3.0") is None


SERVICE = """
import sys
from opentelemetry import trace
with trace.get_tracer("service").start_as_current_span("work"):
    print("works", file=sys.stdout)
sys.exit(3)
"""


def test_a_service_behind_opentelemetry_instrument_is_the_agents(tmp_path: Path) -> None:
    wrapper = Path(sys.executable).with_name("opentelemetry-instrument")
    (tmp_path / "shop.py").write_text(SERVICE)
    flags = ["--resource_attributes", "team=blue"]
    with capturing() as capture:
        command = [str(wrapper), *flags, sys.executable, "shop.py"]
        result = subprocess.run(
            under_clew_run(command, endpoint=capture.url),
            env={**os.environ, "CLEW_FLUSH_TIMEOUT": "20"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (result.stdout, result.returncode) == ("works\n", 3), result.stderr
        (span,) = capture.spans_named("work")
    assert span.service == "shop"
    assert span.resource["team"] == "blue"
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("clew: "))
    assert line.startswith("clew: service shop ")


@pytest.mark.parametrize(
    ("name", "version", "spans", "words"),
    [
        ("opentelemetry_sdk", "1.39.1", 0, "clew: not instrumented: opentelemetry-sdk 1.39.1 is"),
        ("opentelemetry_semantic_conventions", "0.64b0", 1, "clew: opentelemetry-semantic-conven"),
    ],
)
def test_the_service_runs_and_one_line_names_the_clash(
    tmp_path: Path, name: str, version: str, spans: int, words: str
) -> None:
    _metadata(tmp_path, name, version)
    with capturing() as capture:
        result = subprocess.run(
            under_clew_run([sys.executable, "-c", SERVICE], endpoint=capture.url),
            env={**os.environ, "PYTHONPATH": str(tmp_path), "CLEW_FLUSH_TIMEOUT": "20"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (result.stdout, result.returncode) == ("works\n", 3)
        lines = [line for line in result.stderr.splitlines() if f"{version} is" in line]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith(words)
        assert "Traceback" not in result.stderr
        assert len(capture.spans_named("work")) == spans
