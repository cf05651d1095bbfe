"""docs/languages.md shows the variables and versions of the examples that tests/interop/test_languages.py runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "languages.md").read_text(encoding="utf-8")
EXAMPLES = DOCS / "examples" / "languages"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("language", ["node", "java", "go"])
def test_the_page_shows_the_variables_of_the_example(language: str) -> None:
    assert (EXAMPLES / language / "clew.env").read_text(encoding="utf-8") in BLOCKS


def test_the_page_names_the_versions_of_the_node_example() -> None:
    packages = json.loads((EXAMPLES / "node" / "package.json").read_text())["dependencies"]
    for name, version in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), "one exact version"
        if name.startswith("@opentelemetry/"):
            assert f"{name}@{version} " in PAGE or f"{name}@{version}\n" in PAGE


def test_the_page_names_the_version_of_the_java_example() -> None:
    pom = ElementTree.parse(EXAMPLES / "java" / "pom.xml")
    for dependency in pom.iter("dependency"):
        part = {child.tag: child.text for child in dependency}
        assert f"{part['groupId']}:{part['artifactId']}:{part['version']}" in PAGE


def test_the_page_names_the_versions_of_the_go_example() -> None:
    text = (EXAMPLES / "go" / "go.mod").read_text()
    required = re.findall(r"^\t(go\.opentelemetry\.io/contrib/\S+) (\S+)$", text, re.MULTILINE)
    assert required
    for name, version in required:
        assert f"{name}@{version}" in PAGE
