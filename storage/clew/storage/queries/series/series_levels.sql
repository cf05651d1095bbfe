-- The values of a gauge, or of a cumulative sum that goes up and down, in steps of time: first of each stream
-- by itself, then of all streams of a service with the same labels; {filters} as in trace_search. Points
-- without a value are gaps; values that are no numbers are left out.
WITH points AS
(
    SELECT ServiceName, ResourceAttributes, Attributes, Stream, TimeUnix, TimeUnixNanos, Value
    FROM otel.otel_metrics_gauge
    WHERE {type:String} = 'gauge' AND MetricName = {name:String} AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
        AND bitAnd(Flags, 1) = 0
        /*filters*/
    UNION ALL
    SELECT ServiceName, ResourceAttributes, Attributes, Stream, TimeUnix, TimeUnixNanos, Value
    FROM otel.otel_metrics_sum
    WHERE {type:String} = 'sum' AND MetricName = {name:String} AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
        AND bitAnd(Flags, 1) = 0
        /*filters*/
),
series AS
(
    SELECT
        ServiceName AS service,
        any(arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)})) AS labels,
        toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
        groupArrayIf(Value, isFinite(Value)) AS series_values,
        countIf(NOT isFinite(Value)) AS no_numbers,
        argMaxIf(Value, (TimeUnix, TimeUnixNanos), isFinite(Value)) AS latest,
        maxIf((TimeUnix, TimeUnixNanos), isFinite(Value)) AS latest_time
    FROM points
    GROUP BY service, time, Stream
)
SELECT service, labels, time,
       sum(no_numbers) AS left_out,
       arraySort(groupArrayArray(series_values)) AS values,
       {quantile:Float64} * (length(values) - 1) AS place,
       values[toUInt32(floor(place)) + 1] AS below,
       multiIf(
           empty(values), NULL,
           {aggregation:String} = 'avg', arrayAvg(values),
           {aggregation:String} = 'sum', sumIf(arrayAvg(series_values), notEmpty(series_values)),
           {aggregation:String} = 'min', values[1],
           {aggregation:String} = 'max', values[-1],
           {aggregation:String} = 'count', toFloat64(length(values)),
           {aggregation:String} = 'last', argMaxIf(latest, latest_time, notEmpty(series_values)),
           below + (place - floor(place)) * (values[toUInt32(ceil(place)) + 1] - below)) AS value
FROM series
GROUP BY service, labels, time
ORDER BY service, labels, time
