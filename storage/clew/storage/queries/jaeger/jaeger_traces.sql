-- with jaeger_spans
-- Some traces as Jaeger's query service writes them, a row for each: times and durations in microseconds, a
-- process for each resource. Of each trace the first spans only, so that an answer stays one that can be shown.
SELECT
    TraceId AS traceID,
    groupArray(CAST(
        (TraceId, SpanId, flags, operation, links, began, lasted, tags, events, process, if(EndsBeforeStart, ['the span ends before it starts'], [])),
        'Tuple(traceID String, spanID String, flags UInt8, operationName String, references Array(Tuple(refType String, traceID String, spanID String)), startTime Int64, duration UInt64, tags Array(Tuple(key String, type String, value Variant(Bool, Float64, Int64, String))), logs Array(Tuple(timestamp Int64, fields Array(Tuple(key String, type String, value Variant(Bool, Float64, Int64, String))))), processID String, warnings Array(String))'
    )) AS spans,
    CAST(groupUniqArray((process, (service, resource))),
        'Map(String, Tuple(serviceName String, tags Array(Tuple(key String, type String, value Variant(Bool, Float64, Int64, String)))))') AS processes,
    if(any(total) > {most:UInt64}, ['the trace has more spans than are shown'], []) AS warnings
FROM
(
    SELECT
        TraceId,
        SpanId,
        1 AS flags,
        EndsBeforeStart,
        toString(SpanName) AS operation,
        arrayConcat(
            if(ParentSpanId = '', [], [('CHILD_OF', TraceId, ParentSpanId)]),
            arrayMap((trace, span) -> ('FOLLOWS_FROM', trace, span), Links.TraceId, Links.SpanId)) AS links,
        intDiv(toUnixTimestamp64Nano(Timestamp), 1000) AS began,
        intDiv(clew_duration(Duration), 1000) AS lasted,
        splitByChar('|', AttributeTypes) AS types,
        arrayConcat(
            clew_jaeger_tags(SpanAttributes, types[3]),
            clew_jaeger_tags(ScopeAttributes, types[2]),
            arrayMap(
                tag -> (tag.1, if(tag.2 = 'b', 'bool', 'string'), clew_typed_value(tag.2, tag.3)),
                arrayFilter(tag -> tag.3 != '', [
                    ('span.kind', 's', clew_kind_name(SpanKind)),
                    ('otel.scope.name', 's', ScopeName),
                    ('otel.scope.version', 's', ScopeVersion),
                    ('otel.status_code', 's', multiIf(
                        clew_is_error(StatusCode), 'ERROR', StatusCode IN ('Ok', 'STATUS_CODE_OK'), 'OK', '')),
                    ('otel.status_description', 's', StatusMessage),
                    ('error', 'b', if(clew_is_error(StatusCode), 'true', '')),
                    ('w3c.tracestate', 's', TraceState)]))) AS tags,
        arrayMap(
            (time, name, attributes, number) -> (intDiv(toUnixTimestamp64Nano(time), 1000), arrayConcat(
                [('event', 'string', clew_typed_value('s', toString(name)))],
                clew_jaeger_tags(attributes, splitByChar(',', types[4])[number]))),
            Events.Timestamp, Events.Name, Events.Attributes, arrayEnumerate(Events.Name)) AS events,
        if(ServiceName = '', 'unknown_service', toString(ServiceName)) AS service,
        clew_jaeger_tags(ResourceAttributes, types[1]) AS resource,
        lower(hex(sipHash64(ServiceName, ResourceAttributes))) AS process,
        count() OVER (PARTITION BY TraceId) AS total,
        row_number() OVER (PARTITION BY TraceId ORDER BY Timestamp, SpanId) AS number
    FROM unique_spans
    ORDER BY TraceId, number
)
WHERE number <= {most:UInt64}
GROUP BY TraceId
ORDER BY min(began) DESC, traceID DESC
