-- Some traces as OTLP has them in JSON: a row for each resource and scope of each trace. Values of attributes are
-- texts, as they are stored. Of each trace the first spans only, so that an answer stays one that can be shown.
SELECT
    CAST(tuple(any(resource_attributes)), 'Tuple(attributes Array(Tuple(key String, value Tuple(stringValue String))))') AS resource,
    CAST(
        [((ScopeName, ScopeVersion), groupArray((
            TraceId, SpanId, ParentSpanId, TraceState, toString(SpanName), kind,
            toString(toUnixTimestamp64Nano(Timestamp)), toString(clew_end(Timestamp, Duration)),
            attributes, events, links, (StatusMessage, code))))],
        'Array(Tuple(scope Tuple(name String, version String), spans Array(Tuple(traceId String, spanId String, parentSpanId String, traceState String, name String, kind UInt8, startTimeUnixNano String, endTimeUnixNano String, attributes Array(Tuple(key String, value Tuple(stringValue String))), events Array(Tuple(timeUnixNano String, name String, attributes Array(Tuple(key String, value Tuple(stringValue String))))), links Array(Tuple(traceId String, spanId String, traceState String, attributes Array(Tuple(key String, value Tuple(stringValue String))))), status Tuple(message String, code UInt8)))))'
    ) AS scopeSpans
FROM
(
    SELECT
        *,
        arrayMap((key, value) -> (toString(key), tuple(value)), mapKeys(ResourceAttributes), mapValues(ResourceAttributes)) AS resource_attributes,
        arrayMap((key, value) -> (toString(key), tuple(value)), mapKeys(SpanAttributes), mapValues(SpanAttributes)) AS attributes,
        arrayMap(
            (time, name, map) -> (toString(toUnixTimestamp64Nano(time)), toString(name),
                arrayMap((key, value) -> (toString(key), tuple(value)), mapKeys(map), mapValues(map))),
            Events.Timestamp, Events.Name, Events.Attributes) AS events,
        arrayMap(
            (trace, span, state, map) -> (trace, span, state,
                arrayMap((key, value) -> (toString(key), tuple(value)), mapKeys(map), mapValues(map))),
            Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes) AS links,
        toUInt8(greatest(1, indexOf(
            ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'],
            clew_kind_name(SpanKind))) - 1) AS kind,
        multiIf(clew_is_error(StatusCode), 2, StatusCode IN ('Ok', 'STATUS_CODE_OK'), 1, 0) AS code,
        row_number() OVER (PARTITION BY TraceId ORDER BY Timestamp, SpanId) AS number
    FROM otel.otel_traces
    WHERE TraceId IN {trace_ids:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    ORDER BY TraceId, number
)
WHERE number <= {most:UInt64}
GROUP BY TraceId, ServiceName, ResourceAttributes, ScopeName, ScopeVersion
ORDER BY TraceId, min(number)
