-- The operations of a service and their kinds, in Jaeger's words.
SELECT DISTINCT
    toString(SpanName) AS name,
    clew_kind_name(SpanKind) AS spanKind
FROM otel.clew_operations
WHERE ServiceName IN {services:Array(String)} AND ({kind:String} = '' OR spanKind = {kind:String})
ORDER BY name, spanKind
LIMIT {limit:UInt32}
