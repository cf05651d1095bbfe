-- When the oldest rows were inserted that are still here.
SELECT toFloat64(min(InsertedAt)) AS oldest, count() AS traces
FROM otel.clew_traces
