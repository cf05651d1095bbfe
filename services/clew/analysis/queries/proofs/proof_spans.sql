-- The numbers of a series of spans in a window, by seconds a second and in milliseconds. An empty {name} stands for all
-- operations; {roots} for root spans alone, {entries} for what comes in to the service; with a {key}, those
-- spans whose attribute has the {value}. {slow}: nanoseconds.
SELECT
    count() AS requests,
    requests / (toUnixTimestamp({end:DateTime}) - toUnixTimestamp({start:DateTime})) AS rate,
    countIf(clew_is_error(StatusCode)) AS failed,
    failed / requests AS error_rate,
    countIf(clew_duration(Duration) > {slow:Float64}) / requests AS slow_rate,
    arrayMap(ns -> ns / 1e6, quantilesDD(0.01, 0.5, 0.75, 0.95)(clew_duration(Duration))) AS p50_p75_p95_ms
FROM otel.otel_traces
WHERE ServiceName = {service:String} AND ({name:String} = '' OR SpanName = {name:String})
    AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime} AND Environment = {environment:String}
    AND ({key:String} = '' OR SpanAttributes[{key:String}] = {value:String})
    AND (NOT {roots:Bool} OR ParentSpanId = '')
    AND (NOT {entries:Bool} OR clew_is_entry_kind(SpanKind) OR (ParentSpanId = '' AND ServiceName NOT IN (
        SELECT ServiceName FROM otel.otel_traces
        WHERE ServiceName = {service:String} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
            AND clew_is_entry_kind(SpanKind)
        LIMIT 1)))
