"""A statement's column `value` compared with a limit: `sql: SELECT service, value …`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence
from clew.storage.errors import StorageError


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each row: its other columns are the labels. An alert whose row is gone holds no
    more. One that says why, if the statement fails; its alerts keep their states then."""
    assert rule.sql is not None
    assert rule.when is not None
    try:
        rows = evidence.run_sql(rule.sql)
        values = [(row, float(str(row["value"]))) for row in rows]
    except (StorageError, KeyError, TypeError, ValueError) as error:
        reason = "no column value" if isinstance(error, KeyError) else str(error)
        yield Verdict(rule.name, {}, evidence.at, None, Known.ERROR, f"{rule.name}: {reason}")
        return
    present = []
    for row, value in values:
        labels = {name: str(text) for name, text in row.items() if name != "value"}
        present.append(labels)
        subject = " ".join(labels.values())
        yield Verdict(
            rule=rule.name,
            labels=labels,
            at=evidence.at,
            holds=rule.when.holds(value),
            headline=f"{rule.name}: {subject} {value:.6g}, limit {rule.when.limit:.6g}".replace(
                "  ", " "
            ),
            measure="value",
            value=value,
            expected=rule.when.limit,
            sql=rule.sql,
        )
    for tracked in evidence.tracked(rule.name):
        if tracked not in present:
            yield Verdict(rule.name, tracked, evidence.at, False)
