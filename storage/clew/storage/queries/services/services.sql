-- Rate, errors and duration of every service's operations.
SELECT
    ServiceName AS service,
    SpanName AS operation,
    SpanKind AS kind,
    sum(Count) AS count,
    sum(rollup.Errors) AS errors,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)) AS quantiles,
    max(DurationMax) / 1e6 AS max
FROM otel.clew_operations_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)}) AS rollup
WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
GROUP BY service, operation, kind
ORDER BY service, count DESC, operation, kind
LIMIT {limit:UInt32}
