-- Examples of a series of spans in a window: the traces with failed spans, or the slowest ones.
SELECT TraceId AS trace
FROM otel.otel_traces
WHERE ServiceName = {service:String} AND ({name:String} = '' OR SpanName = {name:String})
    AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime} AND Environment = {environment:String}
    AND ({key:String} = '' OR SpanAttributes[{key:String}] = {value:String})
    AND (NOT {roots:Bool} OR ParentSpanId = '') AND (NOT {failed:Bool} OR clew_is_error(StatusCode)) AND TraceId != ''
GROUP BY TraceId
ORDER BY max(clew_duration(Duration)) DESC, trace
LIMIT 3
