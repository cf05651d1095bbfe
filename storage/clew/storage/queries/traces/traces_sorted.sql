-- The traces with a matching span in the window, as trace_search has them, in the order of {sort}: the start of the
-- newest such span, or the trace's duration, errors or span_count, the greatest first; if {sign} is -1, the least. A
-- page begins after {after_rank} and {after_id}. What lies further than two days from the window is not read.
SELECT trace_id, clew_time(newest) AS matched_at,
    {sign:Int8} * multiIf(
        {sort:String} = 'duration', toUnixTimestamp64Nano(last) - toUnixTimestamp64Nano(first),
        {sort:String} = 'errors', toInt64(errors),
        {sort:String} = 'span_count', toInt64(span_count),
        toUnixTimestamp64Nano(newest)) AS rank
FROM
(
    SELECT TraceId AS trace_id, min(traces.Start) AS first, max(traces.End) AS last,
        sum(traces.ErrorCount) AS errors, sum(traces.SpanCount) AS span_count
    FROM otel.clew_traces AS traces
    WHERE Start < {until:DateTime64(9)} + toIntervalDay(2) AND End >= {since:DateTime64(9)} - toIntervalDay(2)
    GROUP BY TraceId
) AS whole
INNER JOIN
(
    SELECT TraceId AS trace_id, max(Timestamp) AS newest
    FROM otel.otel_traces
    WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)} AND TraceId != ''
        /*filters*/
    GROUP BY TraceId
) AS matching USING trace_id
WHERE {after_rank:Nullable(Int64)} IS NULL OR (rank, trace_id) < (ifNull({after_rank:Nullable(Int64)}, 0), {after_id:String})
ORDER BY rank DESC, trace_id DESC
LIMIT {limit:UInt32}
