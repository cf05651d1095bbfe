"""`clew run --install`: missing instrumentations are installed where nothing else changes by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from clew.agent import distributions, install, instrumentations

SERVICE = (
    "from opentelemetry.instrumentation import genai; print('started', genai.__path__ is not None)"
)


def _wheel(directory: Path, name: str, version: str, *requires: str, modules: str = "") -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {text}" for text in requires]
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
        if modules:
            archive.writestr(modules, "")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an environment with what this one has, and two libraries besides."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    for library, version in (("openai", "3.1"), ("asyncclick", "8.1")):
        directory = packages / f"{library}-{version}.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Name: {library}\nVersion: {version}\n")
    return python


def _clew_run(python: Path, wheels: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clew.cli", "run", *command],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)},
        capture_output=True,
        text=True,
        cwd=wheels,
        timeout=300,
    )


@pytest.mark.slow
def test_what_changes_nothing_is_installed_and_the_service_starts(
    environment: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    release = distributions.installed()["opentelemetry_instrumentation"]
    _wheel(
        wheels,
        "opentelemetry-instrumentation-genai-openai",
        "1.3b0",
        "opentelemetry-instrumentation>=0.62b0",
        modules="opentelemetry/instrumentation/genai/openai/__init__.py",
    )
    _wheel(wheels, "opentelemetry-instrumentation-asyncclick", release, "wrapt<1")
    _wheel(wheels, "wrapt", "0.9")
    result = _clew_run(environment, wheels, "--install", "--", str(environment), "-c", SERVICE)
    assert result.stdout == "started True\n", result.stderr
    assert (
        "clew: installed for openai: opentelemetry-instrumentation-genai-openai==1.3b0"
        in result.stderr
    )
    wrapt = distributions.installed()["wrapt"]
    assert f"clew: not installed for asyncclick: wrapt {wrapt} would become 0.9. By hand: " in (
        result.stderr
    )
    (announcement,) = (
        line for line in result.stderr.splitlines() if line.startswith("clew: service ")
    )
    assert "openai" in announcement.partition("not instrumented")[0]
    assert "asyncclick" in announcement.partition("not instrumented")[2]


def _pip_that(
    monkeypatch: pytest.MonkeyPatch, *dry_runs: list[tuple[str, str]] | install.PipError
) -> list[tuple[str, ...]]:
    """Have pip's dry runs end like this, one after the other; the arguments of what was no dry run."""
    results = iter(dry_runs)
    calls: list[tuple[str, ...]] = []

    def pip(*arguments: str) -> None:
        if "--dry-run" not in arguments:
            calls.append(arguments)
            return
        result = next(results)
        if isinstance(result, install.PipError):
            raise result
        items = [{"metadata": {"name": name, "version": version}} for name, version in result]
        report = Path(arguments[arguments.index("--report") + 1])
        report.write_text(json.dumps({"install": items}))

    monkeypatch.setattr(install, "_pip", pip)
    return calls


PACKAGE = instrumentations.MissingPackage("a", "opentelemetry-instrumentation-a", "it is new")


def test_exactly_what_the_dry_run_named_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = _pip_that(monkeypatch, [("opentelemetry-instrumentation-a", "0.66b1"), ("new", "2")])
    install.install(PACKAGE, "opentelemetry-instrumentation-a")
    (call,) = calls
    assert call == ("install", "--no-deps", "opentelemetry-instrumentation-a==0.66b1", "new==2")
    assert (
        "installed for a: opentelemetry-instrumentation-a==0.66b1, new==2"
        in capsys.readouterr().err
    )


def test_what_would_change_an_installed_version_is_refused_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapt = distributions.installed()["wrapt"]
    refused = install.PipError("no set of versions fits")
    calls = _pip_that(monkeypatch, refused, [("new", "2"), ("wrapt", "1.0")])
    with pytest.raises(install.PipError, match=rf"^wrapt {wrapt} would become 1\.0$"):
        install.install(PACKAGE, "opentelemetry-instrumentation-a")
    calls += _pip_that(monkeypatch, [("wrapt", "1.0")])
    with pytest.raises(install.PipError, match=f"^wrapt {wrapt} would change$"):
        install.install(PACKAGE, "opentelemetry-instrumentation-a")
    calls += _pip_that(monkeypatch, refused, refused)
    with pytest.raises(install.PipError, match="no set of versions fits"):
        install.install(PACKAGE, "opentelemetry-instrumentation-a")
    assert not calls


def test_no_pip_or_a_managed_environment_gets_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "missing_packages", lambda: [PACKAGE])
    monkeypatch.setattr(install, "_pip", lambda *_: pytest.fail("pip was run"))
    release = distributions.installed()["opentelemetry_instrumentation"]
    text = f"'opentelemetry-instrumentation-a>=0.{release.split('.')[1][:2]}b0,<={release}'"

    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    install.main()
    assert (
        f"managed by the system's package manager. To install by hand: {sys.executable} -m pip install {text}"
        in (capsys.readouterr().err)
    )

    monkeypatch.setattr(install.importlib.util, "find_spec", lambda _: None)
    install.main()
    assert f"has no pip. To install by hand: uv pip install --python {sys.executable} {text}" in (
        capsys.readouterr().err
    )
