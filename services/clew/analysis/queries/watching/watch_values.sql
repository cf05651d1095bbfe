-- The requests of an operation by the values of their spans' attributes, in a window and in the time before it, and those of them that were slower
-- than {slow} nanoseconds. The row without a key is of all of them.
SELECT
    attribute.1 AS key,
    attribute.2 AS value,
    countIf(Timestamp >= {since:DateTime}) AS requests,
    countIf(Timestamp >= {since:DateTime} AND is_slow) AS slow,
    countIf(Timestamp < {since:DateTime}) AS requests_before,
    countIf(Timestamp < {since:DateTime} AND is_slow) AS slow_before
FROM
(
    SELECT
        Timestamp,
        clew_duration(Duration) > {slow:Float64} AS is_slow,
        arrayJoin(arrayConcat(
            [('', '')],
            arrayFilter(pair -> length(pair.2) <= 100, arrayZip(mapKeys(SpanAttributes), mapValues(SpanAttributes))))) AS attribute
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND SpanName = {name:String} AND Environment = {environment:String}
        AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime} AND (NOT {roots:Bool} OR ParentSpanId = '')
    ORDER BY Timestamp DESC
    LIMIT 200000
)
GROUP BY key, value
HAVING requests >= {least:UInt32} AND requests_before >= {least:UInt32}
ORDER BY slow DESC, key, value
LIMIT 200
