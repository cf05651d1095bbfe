-- with outside
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
    FROM outside
    GROUP BY bin
) AS counted
GROUP BY GROUPING SETS ((bin), ())
ORDER BY time
