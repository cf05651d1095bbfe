-- Traces worth opening: the 5 slowest, the 5 latest in error, the 5 nearest the median of the rest,
-- and a uniform sample of 200, each as an array of trace ids.
WITH entries AS
(
    SELECT TraceId, Timestamp, DurationNs, IsError
    FROM otel.clew_entries_between(
        service = {service:String}, operation = {operation:String},
        start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
    WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
SELECT
    groupArraySorted(5)((-toInt64(DurationNs), TraceId)).2 AS slowest,
    groupArraySortedIf(5)((-toUnixTimestamp64Nano(Timestamp), TraceId), IsError).2 AS errors,
    groupArraySortedIf(5)(
        (abs(toFloat64(DurationNs) - (SELECT quantileDD(0.01, 0.5)(DurationNs) FROM entries WHERE NOT IsError)), TraceId),
        NOT IsError).2 AS typical,
    groupArraySorted(200)((sipHash64(TraceId), TraceId)).2 AS sample,
    count() AS total
FROM entries
