-- The transactions of a stretch of time, by their entry: what findings are shares of. early, late: before and after
-- a time.
SELECT
    toString(Environment) AS environment,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    clew_transaction_id(service, operation) AS id,
    sum(toUInt64(settled.OneIn)) AS traces,
    sumIf(toUInt64(settled.OneIn), Timestamp < {early_until:DateTime64(9)}) AS early_traces,
    sumIf(toUInt64(settled.OneIn), Timestamp >= {late_since:DateTime64(9)}) AS late_traces,
    sum(settled.OneIn * settled.Duration) AS total,
    sum(SpanCount) AS spans,
    quantilesExactWeighted(0.5, 0.95)(Duration, toUInt64(settled.OneIn)) AS quantiles,
    toUnixTimestamp64Nano(min(Timestamp)) AS first,
    toUnixTimestamp64Nano(max(Timestamp)) AS last
FROM otel.clew_settled AS settled FINAL
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)} AND Rank < 2
GROUP BY environment, service, operation
ORDER BY traces DESC, environment, service, operation
LIMIT {limit:UInt32}
