-- One automatic transaction over time, by {step} seconds (a multiple of 60), and as a whole (time '').
SELECT
    if(grouping(bin) = 0, clew_time(bin), '') AS time,
    sum(counted.Count) AS count,
    sum(counted.Errors) AS errors,
    sum(counted.Satisfied) AS satisfied,
    sum(counted.Tolerating) AS tolerating,
    sum(counted.DurationSum) AS total_ns,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(counted.Sketch)) AS quantiles,
    max(counted.DurationMax) / 1e6 AS max
FROM
(
    SELECT toStartOfInterval(Minute, toIntervalSecond({step:UInt32})) AS bin,
        Count, Errors, Satisfied, Tolerating, DurationSum, Sketch, DurationMax
    FROM otel.clew_operations_1m
    WHERE ServiceName = {service:String} AND IsRoot
        AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
        AND Minute >= {first_minute:DateTime} AND Minute < {last_minute:DateTime}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        toStartOfInterval(clew_minute(Timestamp), toIntervalSecond({step:UInt32})) AS bin,
        count(), countIf(IsError), countIf(clew_is_satisfied(Took)), countIf(clew_is_tolerating(Took)), sum(Took),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Took), max(Took)
    FROM
    (
        SELECT Timestamp, clew_duration(Duration) AS Took, clew_is_error(StatusCode) AS IsError
        FROM otel.otel_traces
        WHERE ServiceName = {service:String} AND ParentSpanId = ''
            AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
            AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
            AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
        UNION ALL
        SELECT clew_entry_start(min(EntryKey)),
            argMinMerge(Entry).Duration, argMinMerge(Entry).IsError
        FROM otel.clew_traces
        WHERE {rootless:Bool} AND TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE {rootless:Bool} AND TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE {rootless:Bool} AND clew_is_rootless(EntryKey)
                    AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
            GROUP BY TraceId
            HAVING min(EntryKey) >= clew_rootless_key({start:DateTime64(9)})
                AND min(EntryKey) < clew_rootless_key({end:DateTime64(9)})
                AND clew_root_is_overdue(max(End)))
        GROUP BY TraceId
        HAVING argMinMerge(Entry).ServiceName = {service:String}
            AND has({names:Array(String)}, argMinMerge(Entry).SpanName) = {named:Bool}
            AND ({environment:Nullable(String)} IS NULL OR argMinMerge(Entry).Environment = {environment:Nullable(String)})
    )
    GROUP BY bin
) AS counted
GROUP BY GROUPING SETS ((bin), ())
ORDER BY time
