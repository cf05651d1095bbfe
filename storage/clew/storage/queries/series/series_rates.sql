-- What a sum that only goes up went up by, in steps of time; {filters} as in trace_search. A cumulative
-- point adds what it has more than the one before it in its series, which is looked for up to {before}
-- seconds before the window: all of it where the counter began again (it fell, or says a start after
-- the point before), or began within the window. A delta is added as it is.
WITH points AS
(
    SELECT
        ServiceName, TimeUnix, StartTimeUnix, Value, AggregationTemporality,
        arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
        row_number() OVER series AS nth,
        lagInFrame(Value) OVER series AS last,
        lagInFrame(TimeUnix) OVER series AS before
    FROM otel.otel_metrics_sum
    WHERE MetricName = {name:String}
        AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        /*filters*/
    WINDOW series AS (PARTITION BY ServiceName, cityHash64(ResourceAttributes, Attributes)
                      ORDER BY TimeUnix ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
SELECT
    ServiceName AS service,
    labels,
    toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
    sum(multiIf(
        AggregationTemporality = 1, Value,
        nth = 1, if(StartTimeUnix >= {start:DateTime64(9)}, Value, 0),
        Value < last OR StartTimeUnix > before, Value,
        Value - last)) AS added
FROM points
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time
ORDER BY service, labels, time
