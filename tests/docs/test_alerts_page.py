"""docs/alerts.md: its examples are read, and it names every field of rules and receivers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clew.analysis.alerts.receivers import KINDS
from clew.analysis.alerts.rules import MEASURES, Rule, RuleKind, Rules, read
from clew.analysis.alerts.states import Known, State
from clew.analysis.watching.judges import JUDGES
from clew.analysis.watching.judges.combined import COMBINED
from clew.cli.main import main
from clew.delivery.messages import fill
from support.receivers import message

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
FILES = [
    read(example.encode()) for example in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
]


def test_every_kind_of_rule_has_an_example_or_is_a_limit() -> None:
    kinds = {rule.kind for file in FILES for rule in file.rules}
    assert kinds == {*JUDGES, *COMBINED}
    assert kinds == {*RuleKind}


def test_every_receiver_has_an_example() -> None:
    receivers = [receiver for file in FILES for receiver in file.receivers.values()]
    assert {receiver.kind for receiver in receivers} == set(KINDS)
    templates = [receiver.template for receiver in receivers if receiver.template]
    assert templates
    for template in templates:
        assert fill(template, message())
    for kind in KINDS:  # all fields of each
        listed = [getattr(receiver, kind) for receiver in receivers if receiver.kind == kind]
        used = {name for receiver in listed for name in receiver.model_fields_set}
        assert used == set(type(listed[0]).model_fields), kind


def test_the_import_is_what_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (document,) = re.findall(r"^```sloth\n(.*?)^```", PAGE, re.M | re.S)
    (shown,) = re.findall(r"^```imported\n(.*?)^```", PAGE, re.M | re.S)
    file = tmp_path / "sloth.yaml"
    file.write_text(document)
    assert main(["alerts", "import", str(file)]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    "name",
    [
        *(field.alias or name for name, field in Rule.model_fields.items()),
        *Rules.model_fields,
        *MEASURES,
        *(state for state in State if state is not State.OK),
        *(known for known in Known if known is not Known.KNOWN),
    ],
)
def test_fields_and_states_are_named(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)
