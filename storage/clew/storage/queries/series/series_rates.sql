-- What a sum went up by, in steps of time; {filters} as in trace_search. A delta is added as it is. A
-- cumulative point adds what it has more than the point before it in its run, the points of one stream with
-- one start: points of two processes that call themselves the same overlap, and their starts part them. The
-- point before is looked for up to {before} seconds before the window. A run that began since then adds its
-- first point whole, unless that says no more than that the start is not known (start = time); one that fell
-- began again, and adds that point whole. Points without a value are gaps; values that are no numbers are left out.
WITH points AS
(
    SELECT
        ServiceName, TimeUnix, Value, AggregationTemporality = 1 AS is_delta, isFinite(Value) AS is_number,
        StartTimeUnix > {start:DateTime64(9)} - toIntervalSecond({before:UInt32})
            AND (TimeUnix, TimeUnixNanos) != (StartTimeUnix, StartTimeUnixNanos) AS is_new,
        arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
        row_number() OVER run AS number,
        lagInFrame(Value) OVER run AS previous
    FROM otel.otel_metrics_sum
    WHERE MetricName = {name:String}
        AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
        AND bitAnd(Flags, 1) = 0
        /*filters*/
    WINDOW run AS (PARTITION BY ServiceName, Stream, is_number, if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos))
                   ORDER BY TimeUnix, TimeUnixNanos, Value ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
SELECT
    ServiceName AS service,
    labels,
    toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
    countIf(NOT is_number) AS left_out,
    sum(multiIf(
        NOT is_number, 0,
        is_delta, Value,
        number = 1, if(is_new, Value, 0),
        Value < previous, Value,
        Value - previous)) AS added,
    countIf(is_number) AS points
FROM points
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time
ORDER BY service, labels, time
