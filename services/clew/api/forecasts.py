"""What is expected of the next day of a series."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from clew.analysis.traces.times import HOUR
from clew.analysis.watching.bands import next_band
from clew.api.alert_rules import rulebook_of
from clew.api.answer import AnswerDependency
from clew.api.baselines import (
    WEEKS,
    DependencyParameter,
    MeasureParameter,
    MetricParameter,
    TransactionParameter,
    read_histories,
    select_series,
    series_document,
)
from clew.api.freshness import reads
from clew.api.models import baselines as models
from clew.api.parameters import SECOND, CommonDependency
from clew.api.reference import routes

router = routes("forecasts")


@router.get("", response_model=models.Forecasts)
@reads()
def forecasts(
    request: Request,
    common: CommonDependency,
    answer: AnswerDependency,
    measure: MeasureParameter = "rate",
    transaction: TransactionParameter = None,
    service: str | None = None,
    operation: str | None = None,
    dependency: DependencyParameter = None,
    metric: MetricParameter = None,
) -> dict[str, Any]:
    """What is expected of the 24 hours after the window's end, by the four weeks before it.

    Nine of ten hours of past forecasts lay in the band from `lower` to `upper`."""
    select = select_series(transaction, service, operation, dependency, common.environment, metric)
    measure = "value" if metric else measure
    end = common.window.end // SECOND // HOUR * HOUR
    histories, is_cut = read_histories(request, select, end - WEEKS, end)
    zone = rulebook_of(request).current().all.zone
    series = [
        series_document(history, measure, next_band(history, measure, zone))
        for history in histories
    ]
    return answer.document(series=series) | ({"truncated": True} if is_cut else {})
