-- Traces with log records that were inserted between two times and have one of some attributes, other than
-- those of the pass, and the time in which their spans and those records lie; by the hour.
WITH
records AS
(
    SELECT TraceId, Timestamp
    FROM otel.otel_logs
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime} AND TraceId != ''
        AND (hasAny(LogAttributes.keys, {names:Array(String)}) OR hasAny(ResourceAttributes.keys, {names:Array(String)}))
)
SELECT
    groupArray(trace_id) AS trace_ids,
    toString(min(first)) AS start,
    toString(max(last)) AS end
FROM
(
    SELECT TraceId AS trace_id, min(Start) AS first, max(End) AS last
    FROM
    (
        SELECT TraceId, Timestamp AS Start, Timestamp AS End
        FROM records
        UNION ALL
        SELECT TraceId, Start, End
        FROM otel.clew_traces
        WHERE TraceId IN (SELECT TraceId FROM records)
    )
    WHERE TraceId NOT IN (SELECT TraceId FROM otel.clew_settling WHERE Pass = {of_pass:UInt64})
        AND TraceId NOT IN {trace_ids:Array(String)}
    GROUP BY TraceId
)
GROUP BY last >= first + toIntervalHour(1), toStartOfHour(first)
