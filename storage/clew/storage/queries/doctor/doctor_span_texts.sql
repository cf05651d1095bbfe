-- Spans in which secrets are looked for: some of each operation, of one of {one_in} traces. Long values are cut off.
SELECT
    ServiceName AS service,
    substring(toString(SpanName), 1, 500) AS name,
    substring(StatusMessage, 1, 2000) AS status_message,
    mapApply((key, value) -> (toString(key), substring(value, 1, 2000)), SpanAttributes) AS attributes
FROM otel.otel_traces
WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND modulo(cityHash64(TraceId), {one_in:UInt64}) = 0
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
LIMIT 20 BY ServiceName, SpanName
LIMIT {limit:UInt32}
