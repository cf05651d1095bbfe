-- Traces worth opening: the slowest, the latest in error, those nearest the median of the rest,
-- and a uniform sample, each as an array of trace ids.
WITH entries AS
(
    SELECT TraceId, Timestamp, DurationNs, IsError
    FROM otel.clew_entries_between(
        service = {service:String}, operation = {operation:String},
        start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
    WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
SELECT
    (SELECT groupArray(TraceId) FROM (SELECT TraceId FROM entries ORDER BY DurationNs DESC, TraceId LIMIT {each:UInt32})) AS slowest,
    (SELECT groupArray(TraceId) FROM (SELECT TraceId FROM entries WHERE IsError ORDER BY Timestamp DESC, TraceId LIMIT {each:UInt32})) AS errors,
    (SELECT groupArray(TraceId) FROM (
        SELECT TraceId FROM entries WHERE NOT IsError
        ORDER BY abs(toFloat64(DurationNs) - (SELECT quantileDD(0.01, 0.5)(DurationNs) FROM entries WHERE NOT IsError)), TraceId
        LIMIT {each:UInt32})) AS typical,
    (SELECT groupArray(TraceId) FROM (SELECT TraceId FROM entries ORDER BY sipHash64(TraceId) LIMIT {sample:UInt32})) AS sample,
    (SELECT count() FROM entries) AS total
