"""docs/agent.md lists what the code has, and its examples run."""

from __future__ import annotations

import re

import pytest
import write_agent

from clew import agent

PAGE = write_agent.PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_tables_are_current() -> None:
    assert write_agent.page() == PAGE, "run: python docs/write_agent.py"


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str) -> None:
    exec(compile(example, "docs/agent.md", "exec"), {})


@pytest.mark.parametrize("name", agent.__all__)
def test_a_name_of_the_api_is_in_an_example(name: str) -> None:
    assert any(re.search(rf"\b{name}\(", example) for example in EXAMPLES)
