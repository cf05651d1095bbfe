-- with jaeger_spans
-- Some traces as OTLP has them in JSON: a row for each resource and scope of each trace. Of each trace the first
-- spans only, so that an answer stays one that can be shown. A root has no parentSpanId: JSON leaves out what is NULL.
SELECT
    CAST(tuple(any(resource_attributes)), 'Tuple(attributes Array(Tuple(key String, value Map(String, Variant(Bool, Float64, Int64, String)))))') AS resource,
    CAST(
        [((ScopeName, ScopeVersion, any(scope_attributes)), groupArray((
            TraceId, SpanId, nullIf(ParentSpanId, ''), TraceState, toString(SpanName), kind,
            toString(toUnixTimestamp64Nano(Timestamp)), toString(clew_end(Timestamp, Duration)),
            attributes, events, links, (StatusMessage, code))))],
        'Array(Tuple(scope Tuple(name String, version String, attributes Array(Tuple(key String, value Map(String, Variant(Bool, Float64, Int64, String))))), spans Array(Tuple(traceId String, spanId String, parentSpanId Nullable(String), traceState String, name String, kind UInt8, startTimeUnixNano String, endTimeUnixNano String, attributes Array(Tuple(key String, value Map(String, Variant(Bool, Float64, Int64, String)))), events Array(Tuple(timeUnixNano String, name String, attributes Array(Tuple(key String, value Map(String, Variant(Bool, Float64, Int64, String)))))), links Array(Tuple(traceId String, spanId String, traceState String, attributes Array(Tuple(key String, value Map(String, Variant(Bool, Float64, Int64, String)))))), status Tuple(message String, code UInt8)))))'
    ) AS scopeSpans
FROM
(
    SELECT
        *,
        splitByChar('|', AttributeTypes) AS types,
        clew_otlp_attributes(ResourceAttributes, types[1]) AS resource_attributes,
        clew_otlp_attributes(ScopeAttributes, types[2]) AS scope_attributes,
        clew_otlp_attributes(SpanAttributes, types[3]) AS attributes,
        arrayMap(
            (time, name, map, number) -> (toString(toUnixTimestamp64Nano(time)), toString(name),
                clew_otlp_attributes(map, splitByChar(',', types[4])[number])),
            Events.Timestamp, Events.Name, Events.Attributes, arrayEnumerate(Events.Name)) AS events,
        arrayMap(
            (trace, span, state, map, number) -> (trace, span, state,
                clew_otlp_attributes(map, splitByChar(',', types[5])[number])),
            Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes, arrayEnumerate(Links.TraceId)) AS links,
        toUInt8(greatest(1, indexOf(
            ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'],
            clew_kind_name(SpanKind))) - 1) AS kind,
        multiIf(clew_is_error(StatusCode), 2, StatusCode IN ('Ok', 'STATUS_CODE_OK'), 1, 0) AS code,
        row_number() OVER (PARTITION BY TraceId ORDER BY Timestamp, SpanId) AS number
    FROM unique_spans
    ORDER BY TraceId, number
)
WHERE number <= {most:UInt64}
GROUP BY TraceId, ServiceName, ResourceAttributes, ScopeName, ScopeVersion, ScopeAttributes
ORDER BY TraceId, min(number)
