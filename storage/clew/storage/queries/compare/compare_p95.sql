-- The 95th percentile of the entries' durations, in nanoseconds, of traces as in compare_traces.
SELECT quantileExactWeighted(0.95)(Duration, toUInt64(settled.OneIn)) AS p95
FROM otel.clew_settled AS settled FINAL
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    /*filters*/
