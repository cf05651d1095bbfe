-- Rate, errors and duration of every service in some whole minutes: of the requests it took, its SERVER
-- and CONSUMER operations, apart from the others.
SELECT
    ServiceName AS service,
    clew_is_entry_kind(SpanKind) AS is_taken,
    sum(Count) AS calls,
    sum(rollup.Errors) AS errors,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)) AS quantiles,
    max(DurationMax) / 1e6 AS max
FROM otel.clew_operations_1m AS rollup
WHERE Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, is_taken
ORDER BY service, is_taken
