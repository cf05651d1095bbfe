-- Sums that may have to do with some traces, chosen as in linked_gauges. A point is the rate per second in {step} seconds;
-- of a cumulative sum that is not monotonic (is_level) the mean of its values. What a stream went up by is worked out run
-- by run, as series_rates has it: all of it where a run began within the window. rises: the bins, what it went up by in
-- each, and the number of values. (PREWHERE: the engine itself would take more conditions before it reads the rest, and 4 ms of 25 longer.)
SELECT
    name, any(unit) AS unit, service, any(host) AS host, any(instance) AS instance, any(attributes) AS attributes, series,
    max(has_exemplars) AS has_exemplars, groupUniqArrayArray(exemplars) AS exemplars,
    max(by_attribute) AS by_attribute,
    max(is_a_level) AS is_level,
    sumMap(
        sorted.4,
        arrayMap(
            (rise, value, number) -> if(is_delta OR is_a_level OR rise < 0 OR number = 1 AND is_new, value, rise),
            arrayDifference(sorted.3), sorted.3, arrayEnumerate(sorted.3)),
        arrayWithConstant(length(sorted), toUInt32(1))) AS rises
FROM
(
    WITH notEmpty({carried:Array(Tuple(String, String))}) AND hasAny(arrayZip(mapKeys(Attributes), mapValues(Attributes)), {carried:Array(Tuple(String, String))}) AS carries
    SELECT
        MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(Host) AS host, any(Instance) AS instance,
        any(Attributes) AS attributes, Stream AS series,
        AggregationTemporality = 1 AS is_delta,
        if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos)) AS run,
        any(NOT IsMonotonic) AND NOT is_delta AS is_a_level,
        arraySort(groupArray((TimeUnix, TimeUnixNanos, Value,
            toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32})))))) AS sorted,
        any(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AND (sorted[1].1, sorted[1].2) != (any(StartTimeUnix), any(StartTimeUnixNanos)) AS is_new,
        max(notEmpty(Exemplars.TraceId)) AS has_exemplars, groupUniqArrayArray(if({with_exemplars:Bool}, Exemplars.TraceId, [])) AS exemplars,
        max(carries) AS by_attribute
    FROM otel.otel_metrics_sum
    PREWHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    WHERE bitAnd(Flags, 1) = 0 AND isFinite(Value)
        AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
            OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
    GROUP BY name, service, series, is_delta, run
)
GROUP BY name, service, series
