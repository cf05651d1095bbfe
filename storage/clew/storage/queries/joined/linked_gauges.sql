-- with entries
-- Gauges that have to do with the traces: of the processes that they ran in, of those processes' hosts
-- (system.*), or with an attribute of the transaction in them. A point is the mean of {step} seconds;
-- correlation is Pearson's with the transaction's p95 ({latencies} at {times}): corr itself loses bytes of memory, which
-- are large and vary little; rounded, so that the order of rows does not decide a rank. Of a frequent transaction
-- exemplars are of traces in the first {part} of every {stride} nanoseconds.
SELECT
    name, unit, service, resource, attributes, linked_by, points, correlation,
    row_number() OVER (PARTITION BY linked_by, service, name ORDER BY resource, cityHash64(attributes)) AS alike
FROM
(
    SELECT
        name,
        any(unit) AS unit,
        service,
        any(resource) AS resource,
        any(attributes) AS attributes,
        multiIf(max(by_exemplar), 'exemplar', max(by_attribute), 'attribute', 'resource') AS linked_by,
        arraySort(groupArray((bin, point))) AS points,
        corrStableIf(point, latency, NOT isNaN(latency)) AS pearson,
        if(countIf(NOT isNaN(latency)) >= 3 AND isFinite(pearson), round(pearson, 6), NULL) AS correlation,
        if(any(host) = '', cityHash64(service, series), cityHash64(any(host), attributes)) AS source
    FROM
    (
        SELECT *, transform(bin, {times:Array(UInt32)}, {latencies:Array(Float64)}, nan) AS latency
        FROM
        (
            WITH {by_attribute:Bool} AND arrayExists((name, value) -> (name, value) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS carries
            SELECT
                MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(if(startsWith(MetricName, 'system.'), Host, '')) AS host, any(if(Instance = '' OR startsWith(MetricName, 'system.') AND Host != '', Host, Instance)) AS resource,
                any(Attributes) AS attributes, Stream AS series,
                toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
                max(carries) AS by_attribute,
                max(notEmpty(Exemplars.TraceId) AND arrayExists(trace_id -> trace_id IN (
                    SELECT TraceId FROM entries
                    WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64}), Exemplars.TraceId)) AS by_exemplar,
                avg(Value) AS point
            FROM otel.otel_metrics_gauge
            WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
                AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
                AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
                    OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
            GROUP BY name, service, series, bin
        )
    )
    GROUP BY name, service, series
    -- Of what several services report of one host, the series with the most points.
    ORDER BY length(points) DESC, service, series
    LIMIT 1 BY name, source
)
ORDER BY linked_by, ifNull(abs(correlation), 0) DESC, alike, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32} BY linked_by
