"""README's tables list every setting and command, with the defaults and flags of the code."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.access import SCOPES
from clew.agent.settings import SETTINGS as AGENT_SETTINGS
from clew.cli import main, settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = {setting.flag: setting for setting in settings.SETTINGS}


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    (section,) = re.findall(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", README, re.DOTALL | re.MULTILINE
    )
    (rows,) = re.findall(r"^\|-\|.*\n((?:\|.*\n)+)", section, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


def commands() -> dict[str, argparse.ArgumentParser]:
    (choices,) = (
        action.choices
        for action in main.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(choices)


def own_flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Flags that only this command has: no settings, no --help."""
    for action in parser._actions:
        for flag in action.option_strings:
            if flag.startswith("--") and flag != "--help" and flag not in SETTINGS:
                yield flag


def test_the_settings_are_listed_with_their_variables_and_defaults() -> None:
    listed = {row[0].strip("`"): row for row in table("Settings")}
    assert list(listed) == list(SETTINGS)
    for flag, (_, variable, default, meaning) in listed.items():
        assert variable == f"`{SETTINGS[flag].variable}`"
        assert meaning
        if SETTINGS[flag].default:
            assert default == f"`{SETTINGS[flag].default}`"
        else:
            assert default


def test_the_agents_settings_are_listed_with_their_defaults() -> None:
    listed = [(name, default) for name, default, _ in table("Settings of the agent")]
    assert listed == [(f"`{each.name}`", f"`{each.default}`") for each in AGENT_SETTINGS]


def test_the_commands_are_listed() -> None:
    rows = [row[0] for row in table("Commands")]
    listed = [match[1] for row in rows if (match := re.match(r"`clew ([a-z]+)", row))]
    assert sorted(listed) == sorted(commands())
    assert len(listed) == len(rows)


@pytest.mark.parametrize("name", commands())
def test_a_command_is_listed_with_its_flags(name: str) -> None:
    (row,) = (row for row in table("Commands") if re.match(rf"`clew {name}\b", row[0]))
    assert set(re.findall(r"--[a-z][a-z-]*", row[0])) == set(own_flags(commands()[name]))


def test_the_scopes_are_listed() -> None:
    assert [row[0] for row in table("On a network")] == [f"`{scope}`" for scope in SCOPES]


def test_the_paths_of_the_api_are_documented() -> None:
    documented = re.findall(r"^### [A-Z]+ (/\S+)$", (ROOT / "docs" / "api.md").read_text(), re.M)
    paths = [path for row in table("The API") for path in re.findall(r"/[\w/{}]+", row[0])]
    assert paths
    assert not [path for path in paths if path not in documented]
