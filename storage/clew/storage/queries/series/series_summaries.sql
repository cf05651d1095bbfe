-- What a summary said, in steps of time: what its count and sum went up by, as series_rates has it, and
-- the mean of its points' values at the least of their quantiles that is not below {quantile}; {filters}
-- as in trace_search.
WITH points AS
(
    SELECT
        ServiceName, TimeUnix, StartTimeUnix, Count, Sum,
        arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
        arrayFirstOrNull((v, q) -> q >= {quantile:Float64}, ValueAtQuantiles.Value, ValueAtQuantiles.Quantile) AS said,
        row_number() OVER series AS nth,
        lagInFrame(Count) OVER series AS last,
        lagInFrame(Sum) OVER series AS last_sum,
        lagInFrame(TimeUnix) OVER series AS before
    FROM otel.otel_metrics_summary
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
    sum(multiIf(nth = 1, if(StartTimeUnix >= {start:DateTime64(9)}, toInt64(Count), 0),
                Count < last OR StartTimeUnix > before, toInt64(Count), toInt64(Count - last))) AS count,
    sum(multiIf(nth = 1, if(StartTimeUnix >= {start:DateTime64(9)}, Sum, 0.),
                Count < last OR StartTimeUnix > before, Sum, Sum - last_sum)) AS total,
    avg(said) AS value
FROM points
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time
ORDER BY service, labels, time
