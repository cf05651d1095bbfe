-- A set of whole traces entered in a time: a uniform sample of it (by a hash of the trace's id), each row
-- with what all of the set counts; {filters} stands for what clew.storage.filters made of the request.
-- longer_than and at_most are bounds of the entry's duration in nanoseconds.
SELECT
    TraceId AS trace_id,
    sum(toUInt64(settled.OneIn)) OVER () AS traces,
    sumIf(toUInt64(settled.OneIn), IsError) OVER () AS errors,
    max(settled.OneIn) OVER () AS one_in,
    quantilesExactWeighted(0.5, 0.95)(Duration, toUInt64(settled.OneIn)) OVER () AS quantiles
FROM otel.clew_settled AS settled FINAL
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND Duration > {longer_than:Int64} AND Duration <= {at_most:UInt64}
    /*filters*/
ORDER BY sipHash64(TraceId), TraceId
LIMIT {limit:UInt32}
