-- The automatic transactions of a window in any order, as transactions.sql has them with counted_roots, for a window
-- of which the rollup has little: flat, from the root spans alone.
SELECT
    clew_transaction_id(ServiceName, SpanName) AS id,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    count() AS count,
    countIf(IsError) AS errors,
    countIf(clew_is_satisfied(Duration)) AS satisfied,
    countIf(clew_is_tolerating(Duration)) AS tolerating,
    sum(Duration) AS total_ns,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(Duration)) AS quantiles,
    max(Duration) / 1e6 AS max
FROM otel.clew_roots
WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY ServiceName, SpanName
LIMIT {limit:UInt32}
