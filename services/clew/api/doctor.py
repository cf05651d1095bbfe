"""Faults of the telemetry that is stored, and of the installation, each with its mend."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from clew.api.answer import AnswerDependency
from clew.api.doctor_checks import CHECKS, Check, Examination, Verdict
from clew.api.freshness import reads
from clew.api.models import services as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.storage import LimitExceeded

router = routes("doctor")

HOUR = 3600 * SECOND
UNDER_WAY = 30 * SECOND  # spans that are so young may come before their parents


@router.get("", response_model=models.Doctor)
@reads("traces", "logs", "metrics", unasked=False)
def doctor(request: Request, common: CommonDependency, answer: AnswerDependency) -> dict[str, Any]:
    """What is wrong with the telemetry that is stored, and with the installation, with the mend.

    Covers the last hour of the window, without its last 30 seconds when it ends now. Of many spans
    only a part is looked at. What would take too long is not checked, which its text says."""
    end = common.window.end
    if common.ends_now and end - UNDER_WAY > common.window.start:
        end -= UNDER_WAY
    window = Window(max(common.window.start, end - HOUR), end)
    examination = Examination(
        answer, window, common.environment, request.app.state.freshness.pending()
    )
    verdicts = [(check.name, _verdict(check, examination)) for check in CHECKS]
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        checks=[{"check": name, **verdict._asdict()} for name, verdict in verdicts],
    )


def _verdict(check: Check, examination: Examination) -> Verdict:
    try:
        return check.examine(examination)
    except LimitExceeded:
        return Verdict("none", "not checked: it takes too long here; choose a smaller window")
