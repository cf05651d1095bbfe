-- What a summary said, in steps of time: what its count and sum went up by, as series_rates has it, and
-- the mean of its points' values at the least of their quantiles that is not below {quantile}; {filters}
-- as in trace_search. Values that are no numbers are left out: they say that nothing was observed.
WITH points AS
(
    SELECT
        ServiceName, TimeUnix, Count, isFinite(Sum) AS has_sum, if(has_sum, Sum, 0) AS total_value, false AS is_delta,
        StartTimeUnix > {start:DateTime64(9)} - toIntervalSecond({before:UInt32})
            AND (TimeUnix, TimeUnixNanos) != (StartTimeUnix, StartTimeUnixNanos) AS is_new,
        arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
        arrayFirstOrNull((value, quantile) -> quantile >= {quantile:Float64}, ValueAtQuantiles.Value, ValueAtQuantiles.Quantile) AS quantile_value,
        row_number() OVER run AS number,
        lagInFrame(Count) OVER run AS previous,
        lagInFrame(total_value) OVER run AS previous_total,
        lagInFrame(has_sum, 1, true) OVER run AS previous_has_sum
    FROM otel.otel_metrics_summary
    WHERE MetricName = {name:String}
        AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
        AND bitAnd(Flags, 1) = 0
        /*filters*/
    WINDOW run AS (PARTITION BY ServiceName, Stream, if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos))
                   ORDER BY TimeUnix, TimeUnixNanos, Count ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
SELECT
    ServiceName AS service,
    labels,
    toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
    sum(multiIf(number = 1, if(is_new, toInt64(Count), 0), Count < previous, toInt64(Count), toInt64(Count - previous))) AS count,
    sumIf(multiIf(number = 1, if(is_new, toInt64(Count), 0), Count < previous, toInt64(Count), toInt64(Count - previous)),
        has_sum AND previous_has_sum) AS summed,
    sumIf(multiIf(number = 1, if(is_new, total_value, 0.), Count < previous, total_value, total_value - previous_total),
        has_sum AND previous_has_sum) AS total,
    -- added up without what rounding loses
    sumKahanIf(quantile_value, isFinite(quantile_value)) / countIf(isFinite(quantile_value)) AS value,
    countIf(isNotNull(quantile_value) AND NOT isFinite(quantile_value)) AS left_out
FROM points
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time
ORDER BY service, labels, time
