"""Documents of OpenSLO and Sloth become definitions and rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clew.analysis import documents
from clew.analysis.alerts.imports import import_objectives
from clew.analysis.alerts.rules import Rules
from clew.cli.main import main

SLOTH = """
version: prometheus/v1
service: myservice
labels: {owner: myteam}
slos:
  - name: requests-availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(http_requests_total[{{.window}}]))
    alerting:
      name: High
      annotations: {runbook: "https://runbooks.example/requests"}
      page_alert: {labels: {severity: pageteam}}
      ticket_alert: {disable: true}
"""
OPENSLO = """
apiVersion: openslo/v1
kind: Service
metadata: {name: foo}
spec: {description: a service}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: foo-slo}
spec:
  service: foo
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  indicator:
    metadata: {name: foo-error}
    spec:
      ratioMetric:
        good: {metricSource: {type: Prometheus, spec: {query: sum(good)}}}
  objectives:
    - {displayName: all, target: 0.98}
    - {displayName: fast, targetPercent: 90, op: lte, value: 0.3}
"""


def test_sloth_is_imported() -> None:
    imported = import_objectives(SLOTH.encode())
    (definition,) = imported.definitions
    assert definition.document == {
        "id": "myservice-requests-availability",
        "name": "myservice requests-availability",
        "match": {"service": "myservice"},
        "slo": {"objective": 0.999},
    }
    (rule,) = imported.rules
    assert rule.slo == definition.name
    assert (rule.severity, rule.labels) == ("page", {"owner": "myteam"})
    assert rule.runbook == "https://runbooks.example/requests"
    (note,) = imported.notes
    assert "all requests of myservice count, not: sum(rate(http_requests_total{code" in note


def test_openslo_is_imported() -> None:
    imported = import_objectives(OPENSLO.encode())
    assert [one.name for one in imported.definitions] == ["foo-slo all", "foo-slo fast"]
    objectives = [one.slo.objective for one in imported.definitions if one.slo]
    assert objectives == [0.98, pytest.approx(0.9)]
    assert [rule.severity for rule in imported.rules] == ["page", "ticket"] * 2
    notes = "\n".join(imported.notes)
    assert "not: sum(good)" in notes
    assert "its window is 7d; clew's error budgets are of 30 days" in notes
    assert "its threshold 0.3 is not taken over: write latency_ms" in notes


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("", "has no objective: write an OpenSLO document"),
        ("a: [", "is no YAML"),
        ("[1]", "document 1: write an OpenSLO"),
        ("version: v9", "document 1: write an OpenSLO"),
        (SLOTH.replace("99.9", "lots"), r"slos\[0\].objective: write a number"),
        (SLOTH.replace("99.9", "100"), "slo.objective: Input should be less than 1|objective: "),
        (SLOTH.replace("service: myservice", "x: y"), "service: write a name"),
        (OPENSLO.replace("service: foo", "x: y"), "spec.service: write a name"),
        (SLOTH + "---" + SLOTH, "is there twice"),
        ("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}", "spec: write its fields"),
    ],
)
def test_mistakes_say_what_to_write(text: str, mention: str) -> None:
    with pytest.raises(documents.DocumentError, match=mention):
        import_objectives(text.encode())


def test_the_command_prints_what_clew_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sloth.yaml"
    file.write_text(SLOTH)
    assert main(["alerts", "import", str(file)]) == 0
    shown = capsys.readouterr()
    definitions, rules = yaml.safe_load_all(shown.out)
    assert definitions["transactions"][0]["slo"] == {"objective": 0.999}
    assert documents.read(yaml.safe_dump(rules).encode(), "yaml", Rules).rules[0].severity == "page"
    assert "all requests of myservice count" in shown.err
    file.write_text("nothing")
    assert main(["alerts", "import", str(file)]) == 2
    assert "write an OpenSLO document" in capsys.readouterr().err
