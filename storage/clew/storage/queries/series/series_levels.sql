-- What a gauge, or a sum that goes up and down, said by steps of time: first of each series by itself,
-- then of all series of a service with the same labels; {filters} as in trace_search.
WITH points AS
(
    SELECT ServiceName, ResourceAttributes, Attributes, TimeUnix, Value
    FROM otel.otel_metrics_gauge
    WHERE MetricName = {name:String} AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        /*filters*/
    UNION ALL
    SELECT ServiceName, ResourceAttributes, Attributes, TimeUnix, Value
    FROM otel.otel_metrics_sum
    WHERE MetricName = {name:String} AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        /*filters*/
),
series AS
(
    SELECT
        ServiceName AS service,
        any(arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)})) AS labels,
        toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
        groupArray(Value) AS said,
        argMax(Value, TimeUnix) AS latest,
        max(TimeUnix) AS at
    FROM points
    GROUP BY service, time, cityHash64(ResourceAttributes, Attributes)
)
SELECT service, labels, time,
       arraySort(groupArrayArray(said)) AS values,
       {quantile:Float64} * (length(values) - 1) AS place,
       values[toUInt32(floor(place)) + 1] AS below,
       multiIf(
           {aggregation:String} = 'avg', arrayAvg(values),
           {aggregation:String} = 'sum', sum(arrayAvg(said)),
           {aggregation:String} = 'min', values[1],
           {aggregation:String} = 'max', values[-1],
           {aggregation:String} = 'count', toFloat64(length(values)),
           {aggregation:String} = 'last', argMax(latest, at),
           below + (place - floor(place)) * (values[toUInt32(ceil(place)) + 1] - below)) AS value
FROM series
GROUP BY service, labels, time
ORDER BY service, labels, time
