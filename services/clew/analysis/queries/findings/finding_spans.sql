-- The spans of some traces, of each the first 1,000, with the attributes that rules look at, long ones cut.
SELECT
    TraceId AS trace_id,
    SpanId AS id,
    ParentSpanId AS parent,
    ServiceName AS service,
    SpanName AS name,
    SpanKind AS kind,
    toUnixTimestamp64Nano(Timestamp) AS start,
    clew_end(Timestamp, Duration) AS end,
    toBool(clew_is_error(StatusCode)) AS is_error,
    ScopeName AS scope,
    CAST(arrayMap(
        pair -> (toString(pair.1), substring(pair.2, 1, 2000)),
        arrayFilter(
            pair -> has({names:Array(String)}, pair.1),
            arrayZip(SpanAttributes.keys, SpanAttributes.values))), 'Map(String, String)') AS attributes,
    ResourceAttributes['service.instance.id'] AS instance,
    ResourceAttributes['telemetry.sdk.language'] AS language
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
ORDER BY trace_id, start, id
LIMIT 1000 BY trace_id
LIMIT {limit:UInt32}
