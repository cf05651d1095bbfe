-- Some traces as Jaeger's query service writes them, a row for each: times and durations in microseconds, a
-- process for each resource. Of each trace the first spans only, so that an answer stays one that can be shown.
SELECT
    TraceId AS traceID,
    groupArray(CAST(
        (TraceId, SpanId, flags, operation, links, began, lasted, tags, events, process, if(isBackwards, ['the span ends before it starts'], [])),
        'Tuple(traceID String, spanID String, flags UInt8, operationName String, references Array(Tuple(refType String, traceID String, spanID String)), startTime Int64, duration UInt64, tags Array(Tuple(key String, type String, value String)), logs Array(Tuple(timestamp Int64, fields Array(Tuple(key String, type String, value String)))), processID String, warnings Array(String))'
    )) AS spans,
    CAST(groupUniqArray((process, (service, resource))),
        'Map(String, Tuple(serviceName String, tags Array(Tuple(key String, type String, value String))))') AS processes,
    if(any(total) > {most:UInt64}, ['the trace has more spans than are shown'], []) AS warnings
FROM
(
    SELECT
        TraceId,
        SpanId,
        1 AS flags,
        toString(SpanName) AS operation,
        arrayConcat(
            if(ParentSpanId = '', [], [('CHILD_OF', TraceId, ParentSpanId)]),
            arrayMap((trace, span) -> ('FOLLOWS_FROM', trace, span), Links.TraceId, Links.SpanId)) AS links,
        intDiv(toUnixTimestamp64Nano(Timestamp), 1000) AS began,
        Duration >= 9223372036854775808 AS isBackwards,
        intDiv(clew_duration(Duration), 1000) AS lasted,
        arrayConcat(
            arrayMap((key, value) -> (toString(key), 'string', value), mapKeys(SpanAttributes), mapValues(SpanAttributes)),
            arrayFilter(tag -> tag.3 != '', [
                ('span.kind', 'string', clew_kind_name(SpanKind)),
                ('otel.scope.name', 'string', ScopeName),
                ('otel.scope.version', 'string', ScopeVersion),
                ('otel.status_code', 'string', multiIf(
                    clew_is_error(StatusCode), 'ERROR', StatusCode IN ('Ok', 'STATUS_CODE_OK'), 'OK', '')),
                ('otel.status_description', 'string', StatusMessage),
                ('error', 'bool', if(clew_is_error(StatusCode), 'true', '')),
                ('w3c.tracestate', 'string', TraceState)])) AS tags,
        arrayMap(
            (time, name, attributes) -> (intDiv(toUnixTimestamp64Nano(time), 1000), arrayConcat(
                [('event', 'string', toString(name))],
                arrayMap((key, value) -> (toString(key), 'string', value), mapKeys(attributes), mapValues(attributes)))),
            Events.Timestamp, Events.Name, Events.Attributes) AS events,
        toString(ServiceName) AS service,
        arrayMap((key, value) -> (toString(key), 'string', value), mapKeys(ResourceAttributes), mapValues(ResourceAttributes)) AS resource,
        lower(hex(sipHash64(ServiceName, ResourceAttributes))) AS process,
        count() OVER (PARTITION BY TraceId) AS total,
        row_number() OVER (PARTITION BY TraceId ORDER BY Timestamp, SpanId) AS number
    FROM otel.otel_traces
    WHERE TraceId IN {trace_ids:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    ORDER BY TraceId, number
)
WHERE number <= {most:UInt64}
GROUP BY TraceId
ORDER BY min(began) DESC, traceID DESC
