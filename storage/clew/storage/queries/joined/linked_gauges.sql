-- Gauges that may have to do with some traces: series of the processes that they ran in, of those processes' hosts
-- (system.*), or with an attribute of the transaction in them (carries). A point is the mean of {step} seconds. exemplars,
-- where they are asked for: the ids of the traces that its points have as exemplars, where many would have to be read for
-- few traces linked_exemplars says which series are linked by one. Flat: what is the same for a series, and which series come
-- first, is computed in Python.
SELECT
    name, any(unit) AS unit, service, any(host) AS host, any(instance) AS instance, any(attributes) AS attributes, series,
    max(has_exemplars) AS has_exemplars, groupUniqArrayArray(exemplars) AS exemplars,
    max(by_attribute) AS by_attribute,
    arraySort(groupArray((bin, point))) AS points
FROM
(
    WITH notEmpty({carried:Array(Tuple(String, String))}) AND hasAny(arrayZip(mapKeys(Attributes), mapValues(Attributes)), {carried:Array(Tuple(String, String))}) AS carries
    SELECT
        MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(Host) AS host, any(Instance) AS instance,
        any(Attributes) AS attributes, Stream AS series,
        toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
        max(notEmpty(Exemplars.TraceId)) AS has_exemplars, groupUniqArrayArray(if({with_exemplars:Bool}, Exemplars.TraceId, [])) AS exemplars,
        max(carries) AS by_attribute,
        avg(Value) AS point
    FROM otel.otel_metrics_gauge
    PREWHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    WHERE bitAnd(Flags, 1) = 0 AND isFinite(Value)
        AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
            OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
    GROUP BY name, service, series, bin
)
GROUP BY name, service, series
