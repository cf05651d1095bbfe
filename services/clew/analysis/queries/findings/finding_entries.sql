-- The transactions of a stretch of time, by their entry: what findings are shares of. early, late: before and after
-- a time. Of {one_in} half minutes one is read.
SELECT
    toString(Environment) AS environment,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    clew_transaction_id(service, operation) AS id,
    sum(toUInt64(settled.OneIn)) * {one_in:UInt32} AS traces,
    sumIf(toUInt64(settled.OneIn), Timestamp < {early_until:DateTime64(9)}) * {one_in:UInt32} AS early_traces,
    sumIf(toUInt64(settled.OneIn), Timestamp >= {late_since:DateTime64(9)}) * {one_in:UInt32} AS late_traces,
    sum(settled.OneIn * settled.Duration) * {one_in:UInt32} AS total,
    sum(SpanCount) * {one_in:UInt32} AS spans,
    quantilesExactWeighted(0.5, 0.95)(Duration, toUInt64(settled.OneIn)) AS quantiles,
    toUnixTimestamp64Nano(min(Timestamp)) AS first,
    toUnixTimestamp64Nano(max(Timestamp)) AS last
FROM otel.clew_settled AS settled FINAL
PREWHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    AND modulo(intDiv(toUnixTimestamp(Timestamp), 30), {one_in:UInt32}) = 0
WHERE Rank < 2
GROUP BY environment, service, operation
ORDER BY traces DESC, environment, service, operation
LIMIT {limit:UInt32}
