"""The web UI is checked against the API: what it uses of the API and is not there any more fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "services/ui"
MODULES = UI / "node_modules"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / ".bin/tsc").exists(),
        reason="needs Node.js 20.19 or newer, and make ui",
    ),
]


@pytest.fixture(scope="module")
def document() -> Any:
    writer = [sys.executable, str(ROOT / "docs/write_api.py"), "--openapi"]
    return json.loads(subprocess.run(writer, check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the web UI's sources, with the packages of the checkout."""
    copy = tmp_path_factory.mktemp("ui")
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(UI / name, copy)
    shutil.copytree(UI / "src", copy / "src")
    (copy / "node_modules").symlink_to(MODULES, target_is_directory=True)
    return copy


def _faults(sources: Path, document: Any) -> str:
    """What the compiler says of the sources, with types made of this document; '' if nothing."""
    (sources / "openapi.json").write_text(json.dumps(document))
    types = ["openapi-typescript", "openapi.json", "-o", "src/api/schema.d.ts"]
    for command in (types, ["tsc"]):
        tool = [str(sources / "node_modules/.bin" / command[0]), *command[1:]]
        done = subprocess.run(tool, cwd=sources, capture_output=True, text=True)
        if done.returncode:
            return done.stdout + done.stderr
    return ""


def test_the_web_ui_fits_the_api(sources: Path, document: Any) -> None:
    assert _faults(sources, document) == ""


@pytest.mark.parametrize(
    ("path", "parameter", "file"),
    [
        ("/api/v1/transactions", "baseline_start", "transactions/queries.ts"),
        ("/api/v1/traces", "min_duration_ms", "traces/queries.ts"),
        ("/api/v1/traces/{trace_id}/spans", "version", "trace/queries.ts"),
    ],
)
def test_a_parameter_that_the_api_has_no_more_is_found(
    sources: Path, document: Any, path: str, parameter: str, file: str
) -> None:
    parameters = document["paths"][path]["get"]["parameters"]
    kept = [one for one in parameters if one["name"] != parameter]
    assert len(kept) == len(parameters) - 1
    operation = document["paths"][path]["get"] | {"parameters": kept}
    changed = document["paths"] | {path: document["paths"][path] | {"get": operation}}
    assert file in _faults(sources, document | {"paths": changed})
