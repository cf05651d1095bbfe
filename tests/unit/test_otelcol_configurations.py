"""The OpenTelemetry Collector's configurations, as far as they can be checked without a collector."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HERE = ROOT / "collector" / "otelcol"
GUIDE = (ROOT / "docs" / "opentelemetry-collector.md").read_text()
KINDS = ("receivers", "processors", "exporters", "extensions")

# What is run together, and the manifest of the program that runs it.
RUN = {
    "gateway.yaml": "manifest.yaml",
    "gateway.yaml jaeger-zipkin.yaml": "manifest.yaml",
    "gateway-clickhouse.yaml": "manifest.yaml",
    "agent.yaml": "manifest-agent.yaml",
    "agent.yaml agent-docker.yaml": "manifest-agent.yaml",
}
FILES = sorted(path.name for path in HERE.glob("*.yaml"))


def merged(*names: str) -> dict[str, Any]:
    """Files on top of one another, as the collector does it with several --config."""

    def onto(below: Any, above: Any) -> Any:
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        return below | {key: onto(below.get(key), value) for key, value in above.items()}

    result: dict[str, Any] = {}
    for name in names:
        result = onto(result, yaml.safe_load((HERE / name).read_text()))
    return result


def test_every_file_is_looked_at() -> None:
    assert set(FILES) == {name for names in RUN for name in names.split()} | set(RUN.values())


@pytest.mark.parametrize("names", RUN)
def test_what_is_named_is_configured_and_built_in(names: str) -> None:
    configuration, manifest = merged(*names.split()), merged(RUN[names])
    used = {"extensions": set(configuration["service"]["extensions"])} | {
        kind: {
            name
            for pipeline in configuration["service"]["pipelines"].values()
            for name in pipeline[kind]
        }
        for kind in KINDS[:3]
    }
    for kind in KINDS:
        assert used[kind] == set(configuration[kind])
        # `otlp_http` is in …/otlphttpexporter, `file_storage` in …/storage/filestorage
        modules = {module["gomod"].split()[0].rsplit("/", 1)[1] for module in manifest[kind]}
        modules = {name.removesuffix(kind.removesuffix("s")) for name in modules}
        assert {name.replace("_", "") for name in used[kind]} <= modules


@pytest.mark.parametrize("name", sorted(set(RUN.values())))
def test_a_manifest_has_one_set_of_versions(name: str) -> None:
    manifest = merged(name)
    modules = [module["gomod"].split() for kind in KINDS for module in manifest[kind]]
    assert {version for _, version in modules} == {f"v{manifest['dist']['version']}"}
    assert f"cmd/builder@v{manifest['dist']['version']}" in GUIDE


@pytest.mark.parametrize("name", sorted(set(FILES) - set(RUN.values())))
def test_variables_have_defaults_on_this_machine_and_are_documented(name: str) -> None:
    text = (HERE / name).read_text()
    for variable, default in re.findall(r"\$\{env:(\w+)(?::-([^}]*))?\}", text):
        row = f"| `{variable}` | `{default}` |" if default else f"| `{variable}` | empty |"
        assert row in GUIDE, row
        for address in re.findall(r"[\w.]+(?=:\d)", default):
            assert address == "127.0.0.1"
    assert text.count("${env:") == len(re.findall(r"\$\{env:\w+:-", text))
    assert not re.search(r"0\.0\.0\.0|localhost", text)


def test_gateways_differ_by_their_exporter_alone() -> None:
    otlp, clickhouse = merged("gateway.yaml"), merged("gateway-clickhouse.yaml")
    assert {kind: otlp[kind] for kind in ("receivers", "processors", "extensions")} == {
        kind: clickhouse[kind] for kind in ("receivers", "processors", "extensions")
    }
