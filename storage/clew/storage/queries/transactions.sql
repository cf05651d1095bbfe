-- Automatic transactions of a window, the most frequent first.
SELECT
    clew_transaction_id(ServiceName, SpanName) AS id,
    ServiceName AS service,
    SpanName AS operation,
    sum(Count) AS count,
    sum(rollup.Errors) AS errors,
    sum(rollup.Satisfied) AS satisfied,
    sum(rollup.Tolerating) AS tolerating,
    arrayMap(x -> x / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)) AS quantiles,
    max(DurationMax) / 1e6 AS max
FROM otel.clew_transactions_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)}) AS rollup
WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND ({id:Nullable(String)} IS NULL OR id = {id:Nullable(String)})
GROUP BY ServiceName, SpanName
HAVING {after_count:Nullable(UInt64)} IS NULL
    OR count < {after_count:Nullable(UInt64)}
    OR (count = {after_count:Nullable(UInt64)} AND id > {after_id:String})
ORDER BY count DESC, id
LIMIT {limit:UInt32}
