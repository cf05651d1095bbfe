-- The operations of a service and their kinds, in Jaeger's words.
SELECT DISTINCT
    toString(SpanName) AS name,
    lower(replaceOne(toString(SpanKind), 'SPAN_KIND_', '')) AS spanKind
FROM otel.clew_operations
WHERE ServiceName = {service:String} AND ({kind:String} = '' OR spanKind = {kind:String})
ORDER BY name, spanKind
LIMIT {limit:UInt32}
