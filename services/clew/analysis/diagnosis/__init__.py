"""Why traces became slow or fail: the services that differ between two sets of traces, ranked.

`diagnose` runs the statements of queries/diagnosis. Each kind of evidence (`evidence.py`) gives
every service a strength; `causes.py` adds them up. docs/diagnose.md explains the answer, ADR 0034
the choices.
"""

from clew.analysis.diagnosis.diagnosis import diagnose
from clew.analysis.diagnosis.question import Question, Rows, TimeRange

__all__ = ["Question", "Rows", "TimeRange", "diagnose"]
